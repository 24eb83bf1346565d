import { ok, refused, type Result } from "../../../foundation/result.ts";
import { canonicalIpText } from "../../../protocol/address/ip-address.ts";
import { foldDomain } from "../../../service/table/pattern.ts";

/**
 * Which destinations a policy is for. A key names a host or an address, with or without brackets, with or without a port;
 * `*.example.org` (or `.example.org`) is every name below; `*` is everything.
 *
 * For one session the keys are tried in this order, and the first that somebody wrote decides:
 *
 * 1. the next hop as it was written (the recipients' domain, or the relay's host): with its port, then without;
 * 2. `*.domain` for each domain above it, the longest first;
 * 3. the mail exchanger's name, with its port and without, then `*.domain` above it;
 * 4. its address, with its port and without;
 * 5. `*`.
 *
 * What a person wrote comes before what the DNS answered: whoever forges an answer could otherwise choose a policy. The
 * names of this host's loopback (`localhost`, `127.0.0.1`, `::1`) stand for each other, each directly behind the one written.
 */
export interface PolicySubject {
  /** `example.org`, `[192.0.2.1]:2525`: without a port, that of the connection counts. */
  readonly destination: string;
  /** The mail exchanger or host; undefined where there is none yet (a question without a session). */
  readonly hostName?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** In the one writing that keys are compared in: `example.org:25`, `[::1]:25`, `::1`, `*.example.org`, `*`. */
export function policyKey(written: string): Result<string, string> {
  const text = written.trim();
  if (text === "*") return ok("*");
  const below = /^(?:\*\.|\.)([^.].*)$/.exec(text)?.[1];
  if (below !== undefined)
    return isName(below) ? ok(`*.${foldDomain(below)}`) : refused(`expected a domain behind *., got ${quoted(text)}`);
  const place = parsePlace(text);
  if (place === undefined) return refused(`expected a host, an address, host:port, *.domain or *, got ${quoted(text)}`);
  return ok(keyOf(place.host, place.port));
}

/** In the order in which they are looked for; each once. */
export function policyKeys(subject: PolicySubject): readonly string[] {
  const keys = new Set<string>();
  const add = (host: string, port: number | undefined): void => {
    const alike = LOOPBACK.includes(host) ? [host, ...LOOPBACK.filter((other) => other !== host)] : [host];
    if (port !== undefined) for (const name of alike) keys.add(keyOf(name, port));
    for (const name of alike) keys.add(keyOf(name, undefined));
    if (canonicalIpText(host) !== undefined) return;
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) keys.add(`*.${host.slice(dot + 1)}`);
  };
  const hop = parsePlace(subject.destination);
  if (hop !== undefined) add(hop.host, hop.port ?? subject.port);
  const host = subject.hostName === undefined ? undefined : parsePlace(subject.hostName);
  if (host !== undefined) add(host.host, subject.port);
  const address = subject.address === undefined ? undefined : canonicalIpText(subject.address);
  if (address !== undefined) add(address, subject.port);
  keys.add("*");
  return [...keys];
}

/** Every way in which a key may stand in a table, besides what tables fold: case, A-labels, a final dot, addresses by themselves. */
export function spellingsOf(key: string): readonly string[] {
  if (key === "*") return [key];
  if (key.startsWith("*.")) return [key, key.slice(1)];
  const [, host = "", port = ""] = /^(\[[^\]]*\]|[^:]*(?=:\d+$)|.*?)((?::\d+)?)$/.exec(key) ?? [];
  // RFC 5321 section 4.1.3: an address literal of IPv6 says so.
  if (host.startsWith("[")) return [key, key.replace("[", "[IPv6:")];
  if (host.includes(":")) return [key, `[${key}]`, `[IPv6:${key}]`];
  return [key, `[${host}]${port}`];
}

/** The next hop without its port: what a certificate must be for at the level `secure`. */
export function hopName(destination: string): string | undefined {
  return parsePlace(destination)?.host;
}

const LOOPBACK: readonly string[] = ["localhost", "127.0.0.1", "::1"];

function keyOf(host: string, port: number | undefined): string {
  if (port === undefined) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parsePlace(written: string): { readonly host: string; readonly port: number | undefined } | undefined {
  const text = written.trim();
  const bare = canonicalIpText(text);
  if (bare !== undefined) return { host: bare, port: undefined };
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  if (parts === null) return undefined;
  const inside = (parts[1] ?? parts[2] ?? "").replace(/^IPv6:/i, "");
  const port = parts[3] === undefined ? undefined : Number(parts[3]);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  const ip = canonicalIpText(inside);
  if (ip !== undefined) return { host: ip, port };
  return isName(inside) ? { host: foldDomain(inside), port } : undefined;
}

function isName(text: string): boolean {
  return (
    text.length <= 253 && /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]*(\.[\p{L}\p{N}_][\p{L}\p{M}\p{N}_-]*)*\.?$/u.test(text)
  );
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
