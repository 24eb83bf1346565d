import { isIP } from "node:net";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { parseDomain } from "../../protocol/address/domain.ts";
import type { RelayTarget, TlsMode } from "./next-host.ts";

/**
 * A relay: what envelopes go to. A smarthost written as a URL, or (without a host) the mail exchangers of each
 * recipient's domain. The scheme decides encryption only (DESIGN section 6); credentials are named, never contained.
 *
 *     smtp+tls://mx.example        STARTTLS when offered, else plaintext (also when no scheme is written)
 *     smtps://office@mx.example    implicit TLS, credentials entry `office`
 *     tls://[2001:db8::1]:2525     STARTTLS or nothing, an address literal and a port
 *     lmtp+unix:/run/lmtp          LMTP over a unix socket
 *     backup://mx2.example         mail exchangers better than mx2.example, which is our own name there
 *     tls+backup://mx2.example     the same with another scheme's encryption
 */
export interface Relay {
  readonly protocol: "smtp" | "lmtp";
  readonly tls: TlsMode;
  /** Where it goes; `mx` is the recipient's domain by MX. */
  readonly to: { readonly kind: "mx" } | Exclude<RelayTarget, { kind: "domain" }>;
  readonly defaultPort: number;
  /** The label before `@`: an entry of the credentials table. */
  readonly credentials?: string | undefined;
  /** Set for a backup MX: our own name in the domain's MX list, or `""` for the name we say in EHLO. */
  readonly backupAs?: string | undefined;
  /** The host or our own name with U-labels, where it was written so: for people only. Whoever asks for it uses A-labels. */
  readonly written?: string | undefined;
}

interface Scheme {
  readonly protocol: "smtp" | "lmtp";
  readonly tls: TlsMode;
  readonly port: number;
}

/** RFC 2033 section 5 forbids LMTP on 25; 24 is what people's LMTP servers listen on. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  "smtp+tls": { protocol: "smtp", tls: "may", port: 25 },
  smtp: { protocol: "smtp", tls: "never", port: 25 },
  tls: { protocol: "smtp", tls: "starttls", port: 25 },
  smtps: { protocol: "smtp", tls: "implicit", port: 465 },
  ssl: { protocol: "smtp", tls: "starttls-or-implicit", port: 25 },
  lmtp: { protocol: "lmtp", tls: "may", port: 24 },
};
const UNIX = "lmtp+unix:";
const SCHEME_NAMES = "smtp+tls, smtp, tls, smtps, ssl, lmtp, lmtp+unix or backup";

/** The mail exchangers of the recipient's domain, encrypted when they offer it: the relay of an action that names none. */
export const relayByMx: Relay = { protocol: "smtp", tls: "may", to: { kind: "mx" }, defaultPort: 25 };

export function parseRelay(text: string): Result<Relay, Problem> {
  if (text.toLowerCase().startsWith(UNIX)) return parseUnix(text);
  const mark = text.indexOf("://");
  const written = mark < 0 ? "smtp+tls" : text.slice(0, mark).toLowerCase();
  const hasBackupMark = written === "backup" || written.endsWith("+backup");
  const name = written === "backup" ? "smtp+tls" : hasBackupMark ? written.slice(0, -"+backup".length) : written;
  const scheme = Object.hasOwn(SCHEMES, name) ? SCHEMES[name] : undefined;
  if (scheme === undefined) return refused({ at: 0, expected: `one of the schemes ${SCHEME_NAMES}` });

  const start = mark < 0 ? 0 : mark + 3;
  const authority = text.slice(start).replace(/\/$/, "");
  const atSign = authority.lastIndexOf("@");
  const credentials = atSign < 0 ? undefined : authority.slice(0, atSign);
  if (credentials !== undefined && !/^[\w.+-]+$/.test(credentials)) {
    const secret = credentials.includes(":") ? "; a password does not belong into a relay" : "";
    return refused({ at: start, expected: `the name of a credentials entry before @${secret}` });
  }
  const hostStart = start + atSign + 1;
  const common = {
    protocol: scheme.protocol,
    tls: scheme.tls,
    defaultPort: scheme.port,
    ...(credentials === undefined ? {} : { credentials }),
  };
  if (hasBackupMark) return parseBackup(authority.slice(atSign + 1), hostStart, common);
  const host = parseHost(authority.slice(atSign + 1), hostStart);
  if (!host.ok) return host;
  const { shown, ...place } = host.value;
  return ok({ ...common, to: { kind: "host", ...place }, ...shown });
}

/** The URL as people may see it: exact, and without secrets, for there are none in it. */
export function formatRelay(relay: Relay): string {
  if (relay.to.kind === "unix") return `${UNIX}${relay.to.path}`;
  const scheme = Object.entries(SCHEMES).find(
    ([, known]) => known.protocol === relay.protocol && known.tls === relay.tls,
  )?.[0];
  const isBackup = relay.backupAs !== undefined;
  const name = isBackup ? (scheme === "smtp+tls" ? "backup" : `${scheme}+backup`) : scheme;
  const label = relay.credentials === undefined ? "" : `${relay.credentials}@`;
  if (relay.to.kind === "mx") return `${name}://${label}${relay.written ?? relay.backupAs ?? ""}`;
  const host = isIP(relay.to.host) === 0 ? (relay.written ?? relay.to.host) : `[${relay.to.host}]`;
  return `${name}://${label}${host}${relay.to.port === undefined ? "" : `:${relay.to.port}`}`;
}

function parseUnix(text: string): Result<Relay, Problem> {
  // Both lmtp+unix:/path and lmtp+unix:///path are written by people.
  const path = text.slice(UNIX.length).replace(/^\/\/(?=\/)/, "");
  if (!path.startsWith("/") || path.includes("\0")) return refused({ at: UNIX.length, expected: "an absolute path" });
  return ok({ protocol: "lmtp", tls: "never", to: { kind: "unix", path }, defaultPort: 0 });
}

function parseBackup(own: string, at: number, common: Omit<Relay, "to">): Result<Relay, Problem> {
  if (own === "") return ok({ ...common, to: { kind: "mx" }, backupAs: "" });
  const name = nameOf(own);
  if (name === undefined) return refused({ at, expected: "our own name in the domain's MX list" });
  return ok({ ...common, to: { kind: "mx" }, backupAs: name.host, ...name.shown });
}

function parseHost(text: string, at: number): Result<Place, Problem> {
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(text);
  const literal = parts?.[1]?.replace(/^IPv6:/i, "");
  const named = parts?.[2];
  if (parts === null || (literal === undefined && named === undefined))
    return refused({ at, expected: "a host name or an address in brackets" });
  if (literal !== undefined && isIP(literal) === 0) return refused({ at, expected: "an IP address in the brackets" });
  const host = literal === undefined ? nameOf(named ?? "") : { host: literal.toLowerCase() };
  if (host === undefined) return refused({ at, expected: "a host name" });
  const portText = parts[3];
  if (portText === undefined) return ok(host);
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535)
    return refused({ at: at + text.length - portText.length, expected: "a port from 1 to 65535" });
  return ok({ ...host, port });
}

interface Place {
  readonly host: string;
  readonly port?: number;
  readonly shown?: Pick<Relay, "written">;
}

/** RFC 1123 names, with the underscore that people's internal names have; U-labels become A-labels (RFC 5890). */
function nameOf(text: string): Place | undefined {
  const parsed = parseDomain(text, { isInternational: true });
  if (!parsed.ok || parsed.value.kind !== "name") return undefined;
  const { ascii: host } = parsed.value;
  const written = text.toLowerCase();
  return written === host || isIP(host) !== 0 ? { host } : { host, shown: { written } };
}
