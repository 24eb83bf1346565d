import type { Wanted } from "../../../service/tls/verify.ts";
import type { TlsMode } from "../../route/next-host.ts";
import type { FoundPolicy } from "./find-policy.ts";
import { requiresTls, requiresVerdict, type TlsLevel, type TlsPolicy } from "./policy.ts";
import { hopName } from "./policy-key.ts";
import type { HandshakeTerms } from "./policy-report.ts";
import { isOlder, type TlsVersion } from "./protocols.ts";
import type { TlsClientSettings } from "./settings.ts";

/**
 * What one session must have and may do, from the relay (its URL's scheme, `verify`, credentials) and the policy for its
 * destination. What either of them demands holds: a policy adds to `tls`, `ssl` and `smtps` but takes nothing away; one that
 * demands encryption holds for `smtp`, too; `none` counts where nobody asked for encryption, verification or a login.
 */
export interface TlsDemand {
  readonly mode: TlsMode;
  /** Without an `OK` the session is not used. */
  readonly mustVerify: boolean;
  /** What the verdict is about, whether it must be good or not. */
  readonly wanted: Wanted;
  /** For SNI; undefined where there is no name. */
  readonly serverName: string | undefined;
  readonly context: ContextWish;
  /** What it comes to, in the words of policies. */
  readonly level: TlsLevel;
  /** Who says so: `posthorn.yaml:12:5 (key example.org): secure`, `relay tls://mx.example: encrypt`. */
  readonly rule: string;
  readonly found: FoundPolicy | undefined;
  /** Undefined: sessions are not resumed. */
  readonly sessionKey: string | undefined;
  readonly logLevel: TlsPolicy["logLevel"];
  readonly variant: TlsVariant | undefined;
  /**
   * What of the handshake the settings and the policy decide, in the words of policies; the same for all variants. What is
   * learnt of a host on some terms says nothing of others. What the certificate must be is judged later, and is none of them.
   */
  readonly terms: string;
}

/** What a context for handshakes is made of: `ClientContextTerms` of `service/tls/client-contexts.io.ts`. */
export interface ContextWish {
  readonly minVersion: TlsVersion;
  readonly maxVersion?: TlsVersion | undefined;
  readonly ciphers?: string | undefined;
  readonly groups?: string | undefined;
  readonly signatures?: string | undefined;
  readonly hasTickets: boolean;
  readonly caFile?: string | undefined;
  readonly certificate?: string | undefined;
}

/** A handshake that differs from the usual one in one trait. Never weaker than the policy's oldest version. */
export type TlsVariant = "no-hybrid-group" | "no-tickets" | "rsa-only" | "tls1.2";

export interface DemandRequest {
  readonly mode: TlsMode;
  /** The certificate must verify, says the relay; with credentials unless it says no. */
  readonly verify: boolean;
  readonly hasCredentials: boolean;
  /** Nobody else can listen: a unix socket. No policy is about that. */
  readonly isUnix: boolean;
  /** `example.org`, `[192.0.2.1]:25`: as written. */
  readonly destination: string;
  /** The mail exchanger or host. */
  readonly hostName: string;
  /** `name[address]:port`. */
  readonly host: string;
  readonly relay: string;
  readonly variant?: TlsVariant | undefined;
}

export function demandOf(
  request: DemandRequest,
  found: FoundPolicy | undefined,
  defaults: TlsClientSettings,
  caFile: string | undefined,
): TlsDemand {
  const policy = request.isUnix ? undefined : found?.policy;
  const level = levelOf(request, policy?.level);
  const mustVerify = request.verify || requiresVerdict(level);
  const mode = modeOf(request.mode, level, policy?.level);
  const { minVersion, maxVersion, ciphers } = handshakeTerms(policy, defaults);
  const hasTickets = policy?.tickets ?? defaults.tickets;
  const tickets = hasTickets && request.variant !== "no-tickets";
  const wanted: Wanted =
    level === "fingerprint"
      ? { by: "fingerprint", fingerprints: policy?.fingerprints ?? [] }
      : { by: "authorities", names: namesFor(request, level, policy?.match) };
  const serverName = policy?.serverName ?? (request.hostName === "" || request.isUnix ? undefined : request.hostName);
  const context: ContextWish = {
    minVersion,
    maxVersion,
    ciphers,
    caFile: policy?.caFile ?? caFile,
    certificate: policy?.certificate,
    hasTickets: tickets,
    ...traitOf(request.variant),
  };
  const isPolicys = policy !== undefined && (policy.level === level || requiresTls(policy.level));
  return {
    mode,
    mustVerify,
    wanted,
    serverName,
    context,
    level,
    rule:
      isPolicys && found !== undefined
        ? `${found.where} (key ${found.key}): ${level}`
        : `relay ${request.relay}: ${level}`,
    found: policy === undefined ? undefined : found,
    // Another policy, or another name asked for, is another session: what one was good enough for, the other may not be.
    sessionKey: tickets ? JSON.stringify([request.host, serverName, level, wanted, context]) : undefined,
    logLevel: policy?.logLevel,
    variant: request.variant,
    terms: termsOf({ ...context, hasTickets, maxVersion }, policy?.serverName),
  };
}

function termsOf(usual: ContextWish, serverName: string | undefined): string {
  const { minVersion, maxVersion, ciphers, hasTickets, certificate } = usual;
  return [
    `min-version=${minVersion}`,
    ...(maxVersion === undefined ? [] : [`max-version=${maxVersion}`]),
    ...(ciphers === undefined ? [] : [`ciphers=${ciphers}`]),
    ...(hasTickets ? [] : ["tickets=no"]),
    ...(serverName === undefined ? [] : [`servername=${serverName}`]),
    ...(certificate === undefined ? [] : [`certificate=${certificate}`]),
  ].join(" ");
}

/** In what a variant differs from the usual handshake; `no-tickets` is seen to above. */
function traitOf(variant: TlsVariant | undefined): Partial<ContextWish> {
  if (variant === "no-hybrid-group") return { groups: "X25519:P-256:P-384:P-521" };
  if (variant === "rsa-only") return { signatures: RSA_SIGNATURES };
  return variant === "tls1.2" ? { maxVersion: "TLSv1.2" } : {};
}

const RSA_SIGNATURES = [
  "rsa_pss_rsae_sha256",
  "rsa_pss_rsae_sha384",
  "rsa_pss_rsae_sha512",
  "rsa_pkcs1_sha256",
  "rsa_pkcs1_sha384",
  "rsa_pkcs1_sha512",
].join(":");

/** May this variant be used under this demand? A policy's oldest version is kept. */
export function allowsVariant(minVersion: TlsVersion, variant: TlsVariant): boolean {
  return variant !== "tls1.2" || !isOlder("TLSv1.2", minVersion);
}

function levelOf(request: DemandRequest, level: TlsLevel | undefined): TlsLevel {
  if (level !== undefined && requiresTls(level)) return level;
  const { mode } = request;
  if (mode === "never") return "none";
  if (mode !== "may") return request.verify ? "verify" : "encrypt";
  if (request.isUnix) return "may";
  // A relay that asks for verification or a login asks for encryption.
  if (request.verify) return "verify";
  return request.hasCredentials ? "encrypt" : (level ?? "may");
}

function modeOf(mode: TlsMode, level: TlsLevel, policys: TlsLevel | undefined): TlsMode {
  if (mode !== "may" && mode !== "never") return mode;
  if (policys !== undefined && requiresTls(policys)) return "starttls";
  return level === "none" ? "never" : mode;
}

function namesFor(request: DemandRequest, level: TlsLevel, match: readonly string[] | undefined): readonly string[] {
  const host = request.hostName === "" ? [] : [request.hostName];
  const hop = hopName(request.destination);
  const hopNames = hop === undefined ? [] : [hop];
  const below = /^[\d.]+$|:/.test(hop ?? ":") ? [] : [`.${hop}`];
  if (match === undefined) return level === "secure" ? [...hopNames, ...below] : host;
  return match.flatMap((name) => {
    // Postfix's words.
    if (name === "nexthop") return hopNames;
    if (name === "dot-nexthop") return below;
    return name === "hostname" ? host : [name];
  });
}

/** The versions, ciphers and name of the usual handshake under a policy, or without one. */
export function handshakeTerms(policy: TlsPolicy | undefined, defaults: TlsClientSettings): HandshakeTerms {
  return {
    minVersion: oldestVersion(policy, defaults.minVersion),
    maxVersion: policy?.maxVersion,
    ciphers: policy?.ciphers ?? defaults.ciphers,
    serverName: policy?.serverName,
  };
}

/** A policy for an old host that says only how new TLS may be needs no second word for how old. */
export function oldestVersion(policy: TlsPolicy | undefined, usual: TlsVersion): TlsVersion {
  if (policy?.minVersion !== undefined) return policy.minVersion;
  const most = policy?.maxVersion;
  return most !== undefined && isOlder(most, usual) ? most : usual;
}
