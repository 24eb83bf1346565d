import { domainToASCII, domainToUnicode } from "node:url";
import { unreachable } from "../../foundation/assert.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { formatIpAddress, isLoopback, parseIpAddress, parseIpv4, parseIpv6 } from "./ip-address.ts";

/**
 * The right-hand side of a mailbox (RFC 5321 section 4.1.2): a name or an address literal.
 * `ascii` is the form for DNS and comparison: A-labels, lower case. `text` is what was written.
 * Addresses are canonical text without brackets and without the `IPv6:` tag.
 */
export type Domain =
  | { readonly kind: "name"; readonly ascii: string; readonly text: string }
  | { readonly kind: "ipv4"; readonly address: string }
  | { readonly kind: "ipv6"; readonly address: string };

export interface DomainOptions {
  /** RFC 6531: U-labels are welcome. */
  readonly isInternational?: boolean | undefined;
  /** RFC 5321 section 4.5.3.1.2: 255 octets. */
  readonly maxDomainBytes?: number | undefined;
}

// Letters, digits, hyphens inside; and the underscore, which no host name has but which DNS, Windows hosts and every
// widely used server let through.
const ASCII_NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i;
const NOT_ASCII = /[^\x00-\x7f]/;
const MAX_LABEL = 63;
/** What fits DNS: 255 octets on the wire are 253 characters of text (RFC 1035 section 3.1). */
const MAX_NAME = 253;

/** `example.org`, `[192.0.2.1]`, `[IPv6:2001:db8::1]`, and U-labels where allowed. Offsets are into `text`. */
export function parseDomain(text: string, options: DomainOptions = {}): Result<Domain, Problem> {
  const maxBytes = options.maxDomainBytes ?? 255;
  if (Buffer.byteLength(text) > maxBytes)
    return refused({ at: maxBytes, expected: `a domain of at most ${maxBytes} octets` });
  if (text.startsWith("[")) return parseLiteral(text);
  if (!NOT_ASCII.test(text)) return parseName(text, text.toLowerCase());
  if (options.isInternational !== true) return refused({ at: text.search(NOT_ASCII), expected: "a domain in ASCII" });
  // The mapping may bring in characters that no label has (a full-width percent sign), so its result is checked like
  // any name; an empty result is its word for "not a domain" (RFC 5891, UTS 46).
  return parseName(text, text.includes("%") ? "" : domainToASCII(text));
}

function parseName(text: string, ascii: string): Result<Domain, Problem> {
  if (!ASCII_NAME.test(ascii)) return refused({ at: offenceIn(text), expected: "a domain" });
  if (ascii.length > MAX_NAME) return refused({ at: 0, expected: "a domain that fits DNS" });
  let labelAt = 0;
  for (const label of ascii.split(".")) {
    if (label.length > MAX_LABEL) return refused({ at: labelAt, expected: `labels of at most ${MAX_LABEL} octets` });
    labelAt += label.length + 1;
  }
  return ok({ kind: "name", ascii, text });
}

/** Where a name goes wrong, near enough for a message to a person. */
function offenceIn(text: string): number {
  const offence = text.search(/[^a-z0-9_.\-\u0080-\uffff]|\.\.|^[.-]|-\.|\.-|[.-]$/i);
  return offence < 0 ? text.length : offence;
}

function parseLiteral(text: string): Result<Domain, Problem> {
  const expected = "an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]";
  if (!text.endsWith("]")) return refused({ at: text.length, expected });
  const inner = text.slice(1, -1);
  if (/^ipv6:/i.test(inner)) {
    const address = parseIpv6(inner.slice(5));
    return address === undefined
      ? refused({ at: 6, expected })
      : ok({ kind: "ipv6", address: formatIpAddress(address) });
  }
  const address = parseIpv4(inner);
  return address === undefined ? refused({ at: 1, expected }) : ok({ kind: "ipv4", address: formatIpAddress(address) });
}

/** The wire form in ASCII: A-labels, or a bracketed literal. */
export function formatDomain(domain: Domain): string {
  switch (domain.kind) {
    case "name":
      return domain.ascii;
    case "ipv4":
      return `[${domain.address}]`;
    case "ipv6":
      return `[IPv6:${domain.address}]`;
    default:
      return unreachable(domain);
  }
}

/** U-labels for people, where the name has any. */
export function unicodeOf(domain: Domain): string {
  if (domain.kind !== "name") return formatDomain(domain);
  return domain.ascii.includes("xn--") ? domainToUnicode(domain.ascii) || domain.ascii : domain.ascii;
}

export function sameDomain(one: Domain, other: Domain): boolean {
  return formatDomain(one).toLowerCase() === formatDomain(other).toLowerCase();
}

/** Written with U-labels: such a domain may only be sent as it is under SMTPUTF8. */
export function hasUnicode(domain: Domain): boolean {
  return domain.kind === "name" && NOT_ASCII.test(domain.text);
}

/** `localhost` and names below it (RFC 6761 section 6.3), or a loopback literal. */
export function isLocalhost(domain: Domain): boolean {
  if (domain.kind === "name") return domain.ascii === "localhost" || domain.ascii.endsWith(".localhost");
  const address = parseIpAddress(domain.address);
  return address !== undefined && isLoopback(address);
}

/** The address literal for a client's address, as Received fields and HELO want it (RFC 5321 section 4.1.3). */
export function literalOf(address: string): string {
  return address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
}
