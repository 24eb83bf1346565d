import { isIP } from "node:net";
import { ok, refused, type Result } from "../../../foundation/result.ts";
import { parseFingerprint } from "../../../service/tls/fingerprint.ts";
import type { TraceLevel } from "../../../service/tls/tracer/trace-switches.ts";
import { isOlder, parseProtocols, TLS_VERSIONS, type TlsVersion } from "./protocols.ts";

/**
 * What encryption a destination gets. Policies are written in the settings and in a table, each under a key that says
 * which destinations it is for (`policy-key.ts`); the one with the most specific key is in force (`find-policy.ts`) and,
 * together with the relay's URL, decides each session (`demand.ts`).
 *
 * | level | encryption | certificate |
 * |---|---|---|
 * | `none` | no | |
 * | `may` | when it can be had, else plaintext | anything; the log says what it was |
 * | `encrypt` | always | anything |
 * | `fingerprint` | always | one of `fingerprints`, or with such a key |
 * | `verify` | always | of a trusted authority, for the host's name or one of `match` |
 * | `secure` | always | of a trusted authority, for the destination itself: no answer of the DNS counts |
 */
export interface TlsPolicy {
  readonly level: TlsLevel;
  readonly minVersion?: TlsVersion | undefined;
  readonly maxVersion?: TlsVersion | undefined;
  /** An OpenSSL list of ciphers; TLS 1.3 suites by their own names. */
  readonly ciphers?: string | undefined;
  /** A PEM file with the authorities that count here, instead of those of `delivery.caFile`. */
  readonly caFile?: string | undefined;
  /** SHA-256, lower-case hex: of the certificate or of its public key. */
  readonly fingerprints?: readonly string[] | undefined;
  /** Names that count instead of the level's own; `.example.org` is every name below. */
  readonly match?: readonly string[] | undefined;
  /** For SNI, instead of the host's name. */
  readonly serverName?: string | undefined;
  /** The label of the certificate we show when asked: an entry of `clientCertificates`. */
  readonly certificate?: string | undefined;
  /** May earlier sessions be resumed? */
  readonly tickets?: boolean | undefined;
  /** 0 to 4: how much of the sessions is told. */
  readonly logLevel?: TraceLevel | undefined;
}

export const TLS_LEVELS = ["none", "may", "encrypt", "fingerprint", "verify", "secure"] as const;
/** Known by name, so that they can be refused by name. */
const LATER_LEVELS = ["dane", "dane-only", "sts"] as const;

export type TlsLevel = (typeof TLS_LEVELS)[number];

/** Words of old per-site tables, and what they mean. */
const OLD_WORDS: Readonly<Record<string, TlsLevel>> = { must: "verify", must_nopeermatch: "encrypt" };

/** A level in any case, old words included. */
export function parseLevel(text: string): Result<TlsLevel, string> {
  const word = text.toLowerCase();
  const level = TLS_LEVELS.find((known) => known === word) ?? OLD_WORDS[word];
  if (level !== undefined) return ok(level);
  if (LATER_LEVELS.some((later) => later === word)) return refused(`the level ${word} is not yet supported`);
  return refused(`expected one of ${TLS_LEVELS.join(", ")}, got ${JSON.stringify(text.slice(0, 60))}`);
}

/** How a policy is written in one line: a level, then `name=value` each, lists with commas or colons. */
export function parsePolicy(text: string): Result<TlsPolicy, string> {
  const [word = "", ...attributes] = text.trim().split(/\s+/);
  const level = parseLevel(word);
  if (!level.ok) return level;
  const policy: Draft = { level: level.value };
  const saidBy = new Map<string, string>();
  for (const attribute of attributes) {
    const equals = attribute.indexOf("=");
    const name = attribute.slice(0, Math.max(0, equals)).toLowerCase().replaceAll(/[-_]/g, "");
    const value = attribute.slice(equals + 1);
    const set = Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
    if (set === undefined || value === "")
      return refused(
        `expected name=value with one of ${Object.keys(ATTRIBUTES).join(", ")}, got ${JSON.stringify(attribute.slice(0, 60))}`,
      );
    const said: Draft = { level: level.value };
    const problem = set(said, value) ?? repeated(said, attribute, saidBy);
    if (problem !== undefined) return refused(`${name}: ${problem}`);
    const { match, fingerprints, ...single } = said;
    Object.assign(policy, single);
    // Lists may be written in parts, as Postfix has it.
    if (match !== undefined) policy.match = [...(policy.match ?? []), ...match];
    if (fingerprints !== undefined) policy.fingerprints = [...(policy.fingerprints ?? []), ...fingerprints];
  }
  return checkedPolicy(policy);
}

/** Of two that say the same thing nobody knows which is meant: neither the first nor the last is taken in silence. */
function repeated(said: Draft, attribute: string, saidBy: Map<string, string>): string | undefined {
  for (const field of Object.keys(said)) {
    if (field === "level" || field === "match" || field === "fingerprints") continue;
    const before = saidBy.get(field);
    if (before !== undefined) return `said already by ${JSON.stringify(before.slice(0, 60))}`;
    saidBy.set(field, attribute);
  }
  return undefined;
}

/** What no single field can see. */
export function checkedPolicy(policy: TlsPolicy): Result<TlsPolicy, string> {
  if (policy.level === "fingerprint" && (policy.fingerprints ?? []).length === 0)
    return refused("the level fingerprint needs at least one fingerprint");
  if (policy.level !== "fingerprint" && (policy.fingerprints ?? []).length > 0)
    return refused(`fingerprints count at the level fingerprint only, not at ${policy.level}`);
  if (policy.match?.length === 0) return refused("match: expected at least one name");
  const { minVersion, maxVersion } = policy;
  if (minVersion !== undefined && maxVersion !== undefined && isOlder(maxVersion, minVersion))
    return refused(`no version is left between ${minVersion} and ${maxVersion}`);
  return ok(policy);
}

/** Encryption or nothing. */
export function requiresTls(level: TlsLevel): boolean {
  return level !== "none" && level !== "may";
}

/** Encryption with the right peer or nothing. */
export function requiresVerdict(level: TlsLevel): boolean {
  return level === "fingerprint" || level === "verify" || level === "secure";
}

/** A name that a certificate may be for: a host, an address, `.domain`, or one of Postfix's three words. */
export function parseMatchName(text: string): Result<string, string> {
  const name = text
    .toLowerCase()
    .replace(/^\*(?=\.)/, "")
    .replace(/^\[(.*)\]$/, "$1");
  const bare = name.replace(/^\./, "");
  if (isIP(name) !== 0) return ok(name);
  if (/^[\p{L}\p{N}_]([\p{L}\p{M}\p{N}_-]*)(\.[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]*)*\.?$/u.test(bare)) return ok(name);
  return refused(`expected a name that a certificate can be for, got ${JSON.stringify(text.slice(0, 60))}`);
}

const TRACE_LEVELS: readonly TraceLevel[] = [0, 1, 2, 3, 4];

type Draft = { -readonly [Key in keyof TlsPolicy]: TlsPolicy[Key] };

/** By name without dashes and underscores, so that Postfix's names and ours are both understood. */
const ATTRIBUTES: Readonly<Record<string, (policy: Draft, value: string) => string | undefined>> = {
  minversion: (policy, value) => version(value, (known) => (policy.minVersion = known)),
  maxversion: (policy, value) => version(value, (known) => (policy.maxVersion = known)),
  protocols(policy, value) {
    const parsed = parseProtocols(value);
    if (!parsed.ok) return parsed.problem;
    if (parsed.value.minVersion !== undefined) policy.minVersion = parsed.value.minVersion;
    if (parsed.value.maxVersion !== undefined) policy.maxVersion = parsed.value.maxVersion;
    return undefined;
  },
  ciphers(policy, value) {
    policy.ciphers = value;
    return undefined;
  },
  cafile: setFile,
  tafile: setFile,
  fingerprints: setFingerprints,
  match(policy, value) {
    const names: string[] = [];
    // Postfix parts them by colons, which an IPv6 address has, too.
    const parts = value.split(/[,|]/).flatMap((part) => (isIP(part) === 6 ? [part] : part.split(":")));
    for (const text of parts.filter((one) => one !== "")) {
      const name = parseMatchName(text);
      if (!name.ok) return name.problem;
      names.push(name.value);
    }
    policy.match = names;
    return undefined;
  },
  servername: setServerName,
  sni: setServerName,
  certificate(policy, value) {
    policy.certificate = value;
    return undefined;
  },
  tickets(policy, value) {
    const flag = { yes: true, on: true, true: true, no: false, off: false, false: false }[value.toLowerCase()];
    if (flag === undefined) return `expected yes or no, got ${JSON.stringify(value.slice(0, 60))}`;
    policy.tickets = flag;
    return undefined;
  },
  loglevel(policy, value) {
    const level = TRACE_LEVELS.find((known) => String(known) === value);
    if (level === undefined) return "expected a level from 0 to 4";
    policy.logLevel = level;
    return undefined;
  },
};

function setFile(policy: Draft, value: string): string | undefined {
  if (!value.startsWith("/")) return "expected an absolute path";
  policy.caFile = value;
  return undefined;
}

function setFingerprints(policy: Draft, value: string): string | undefined {
  const fingerprints: string[] = [];
  // Colons belong to a fingerprint, so several are parted by commas or bars.
  for (const text of value.split(/[,|]/).filter((one) => one !== "")) {
    const fingerprint = parseFingerprint(text);
    if (!fingerprint.ok) return `expected ${fingerprint.problem.expected}`;
    fingerprints.push(fingerprint.value);
  }
  policy.fingerprints = fingerprints;
  return undefined;
}

function setServerName(policy: Draft, value: string): string | undefined {
  if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i.test(value) || isIP(value) !== 0) return "expected a host name";
  policy.serverName = value.toLowerCase();
  return undefined;
}

function version(text: string, set: (known: TlsVersion) => void): string | undefined {
  const known = TLS_VERSIONS.find((one) => one.toLowerCase() === text.toLowerCase());
  if (known === undefined) return `expected one of ${TLS_VERSIONS.join(", ")}`;
  set(known);
  return undefined;
}
