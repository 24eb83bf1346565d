import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { formatDomain, hasUnicode, parseDomain, type Domain, type DomainOptions } from "./domain.ts";

/**
 * A mailbox as RFC 5321 section 4.1.2 writes it. `local` is decoded: without quotes and backslashes, case kept.
 * One mailbox has many writings (`"a"@b`, `a@b`, `"\a"@b`); `formatMailbox` gives the shortest.
 */
export interface Mailbox {
  readonly local: string;
  readonly domain: Domain;
}

export interface AddressOptions extends DomainOptions {
  /**
   * RFC 5321 section 4.5.3.1.1 promises 64 octets and asks for no limit where none is needed: senders made by lists and
   * forwarders (VERP, SRS) are longer, and their bounces come back to the same addresses. So by default only the path's
   * length bounds it.
   */
  readonly maxLocalBytes?: number | undefined;
  /** RFC 5321 section 4.5.3.1.3: 256 octets, angle brackets and separators included. */
  readonly maxPathBytes?: number | undefined;
}

// RFC 5321 section 4.1.2 with RFC 6531 section 3.3: atext and what is beyond ASCII, but no C1 controls, no separators
// that log readers break lines at, and no lone surrogates.
const BEYOND = "\\u00a0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufeff\\uff00-\\uffff\\u{10000}-\\u{10ffff}";
const ATEXT = `A-Za-z0-9!#$%&'*+\\-/=?^_\`{|}~${BEYOND}`;
const DOT_STRING = new RegExp(`^[${ATEXT}]+(?:\\.[${ATEXT}]+)*$`, "u");
const DOT_STRING_AT = new RegExp(`[${ATEXT}]+(?:\\.[${ATEXT}]+)*`, "uy");
const QUOTED_AT = new RegExp(`"(?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e${BEYOND}]|\\\\[\\x20-\\x7e])*"`, "uy");
// The common mailbox by itself, so that ordinary traffic is parsed by one test.
const PLAIN = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*@[^@[\\"]+$/;
/** A local part that is one word of the usual characters, without a look at the others. */
const SIMPLE = /^[A-Za-z0-9_+-]+$/;
const NOT_ASCII = /[^\x00-\x7f]/;

/** `local@domain`, without angle brackets. Offsets are into `text`. */
export function parseMailbox(text: string, options: AddressOptions = {}): Result<Mailbox, Problem> {
  const length = PLAIN.test(text) ? text.indexOf("@") : localLengthAt(text, 0);
  if (length === 0) return refused({ at: 0, expected: "a local part" });
  if (text[length] !== "@") return refused({ at: length, expected: "@ and a domain" });
  const written = text.slice(0, length);
  if (options.isInternational !== true && NOT_ASCII.test(written))
    return refused({ at: written.search(NOT_ASCII), expected: "a local part in ASCII" });
  const maxLocal = options.maxLocalBytes ?? 254;
  if (length * 3 > maxLocal && Buffer.byteLength(written) > maxLocal)
    return refused({ at: maxLocal, expected: `a local part of at most ${maxLocal} octets` });
  const domain = parseDomain(text.slice(length + 1), options);
  if (!domain.ok) return refused({ at: length + 1 + domain.problem.at, expected: domain.problem.expected });
  return ok({ local: unquote(written), domain: domain.value });
}

/** The shortest writing in ASCII domains: quoted only when needed. */
export function formatMailbox(mailbox: Mailbox): string {
  return `${formatLocal(mailbox.local)}@${formatDomain(mailbox.domain)}`;
}

/** RFC 5321 section 4.1.2: a Quoted-string when the local part is no Dot-string. */
export function formatLocal(local: string): string {
  return SIMPLE.test(local) || DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, "\\$&")}"`;
}

/** Its local part, or its domain as written, is beyond ASCII: it needs SMTPUTF8 (RFC 6531). */
export function isInternational(mailbox: Mailbox): boolean {
  return NOT_ASCII.test(mailbox.local) || hasUnicode(mailbox.domain);
}

/** Its local part is beyond ASCII: no A-label can save it, the next host must offer SMTPUTF8. */
export function needsSmtpUtf8(mailbox: Mailbox): boolean {
  return NOT_ASCII.test(mailbox.local);
}

/**
 * In ASCII where that is possible: U-labels have such a form, and whoever takes mail for them need not know SMTPUTF8 for that
 * (RFC 6531 section 3.2). What is no mailbox stays as it is.
 */
export function plainestAddress(address: string): string {
  const mailbox = parseMailbox(address, { isInternational: true });
  if (!mailbox.ok || !isInternational(mailbox.value) || needsSmtpUtf8(mailbox.value)) return address;
  return formatMailbox(mailbox.value);
}

/**
 * The domain of an address in wire form, as a lower-case key for tables and routes (`example.org`, `[192.0.2.1]`);
 * `""` for the null sender and for text without a domain. It trusts that the address was parsed once.
 */
export function domainOf(address: string): string {
  return splitAddress(address).domain;
}

/** The written local part and the lower-case domain of an address in wire form; either may be `""`. */
export function splitAddress(address: string): { readonly local: string; readonly domain: string } {
  // A quoted local part may hold an @; a domain may not.
  const at = lastAt(address);
  if (at < 0) return { local: address, domain: "" };
  return { local: address.slice(0, at), domain: address.slice(at + 1).toLowerCase() };
}

/** The last `@`; there is hardly ever more than one, and forwards the engine looks much faster. */
export function lastAt(address: string): number {
  const first = address.indexOf("@");
  return first < 0 || !address.includes("@", first + 1) ? first : address.lastIndexOf("@");
}

/** The length of the local part at `from`, as written; 0 when there is none. */
export function localLengthAt(text: string, from: number): number {
  const pattern = text[from] === '"' ? QUOTED_AT : DOT_STRING_AT;
  pattern.lastIndex = from;
  return pattern.exec(text)?.[0].length ?? 0;
}

/** Decodes a Quoted-string; the identity on a Dot-string. */
export function unquote(written: string): string {
  return written.startsWith('"') ? written.slice(1, -1).replace(/\\(.)/gsu, "$1") : written;
}
