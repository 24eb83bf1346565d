import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { domainToASCII } from "node:url";

/**
 * Whether a certificate is for a name (RFC 9525): DNS names and addresses of its subjectAltName only, never the common
 * name; a wildcard is a whole label, the leftmost, and stands for exactly one. A wanted name that begins with a dot means
 * every name below it.
 */
export function isCertificateFor(certificate: X509Certificate, wanted: string): boolean {
  const name = wanted.replace(/^\[(.*)\]$/, "$1");
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined;
  const ascii = asciiName(name);
  return (
    ascii !== undefined && certificate.checkHost(ascii, { subject: "never", partialWildcards: false }) !== undefined
  );
}

/** Of each kind; a certificate may hold thousands, and is shown by anybody. */
export const MOST_NAMES = 50;
/** RFC 5321 section 4.5.3.1: an address has 254 characters at most, a domain fewer. What is longer is neither. */
const LONGEST_NAME = 254;

/** The DNS names of the subjectAltName, lower case, as they are written there; at most `MOST_NAMES`. */
export function dnsNamesOf(certificate: X509Certificate): readonly string[] {
  return alternativeNames(certificate, "DNS").map((name) => name.toLowerCase());
}

/** The e-mail addresses of the subjectAltName, as they are written there; at most `MOST_NAMES`. */
export function emailsOf(certificate: X509Certificate): readonly string[] {
  return alternativeNames(certificate, "email").filter((name) => /^[^@]+@[^@]+$/.test(name));
}

/** The IP addresses of the subjectAltName; at most `MOST_NAMES`. */
export function addressesOf(certificate: X509Certificate): readonly string[] {
  return alternativeNames(certificate, "IP Address");
}

/** The common name of the subject; undefined when there is none, or none that could be a name or an address. */
export function commonNameOf(certificate: X509Certificate): string | undefined {
  const common = /^CN=(.+)$/m.exec(certificate.subject ?? "")?.[1];
  return common === undefined || common.length > LONGEST_NAME ? undefined : common;
}

function alternativeNames(certificate: X509Certificate, kind: string): readonly string[] {
  // A name that could be mistaken for several is quoted by Node. What stands in the quotes is no list of names, and no
  // host or mailbox that anybody trusts needs them.
  const unquoted = (certificate.subjectAltName ?? "").replace(/"(?:[^"\\]|\\.)*"/g, '"');
  const names: string[] = [];
  for (const [, name = ""] of unquoted.matchAll(new RegExp(`(?:^|, )${kind}:([^,\\s"]+)(?=,|$)`, "g"))) {
    if (name.length > LONGEST_NAME) continue;
    names.push(name);
    if (names.length === MOST_NAMES) break;
  }
  return names;
}

/** As certificates have it: lower case, A-labels (RFC 5890), no final dot. Undefined when it is no name. */
function asciiName(name: string): string | undefined {
  const plain = name.toLowerCase().replace(/\.$/, "");
  const below = plain.startsWith(".");
  const bare = below ? plain.slice(1) : plain;
  if (bare === "") return undefined;
  const ascii = /^[\x00-\x7f]*$/.test(bare) ? bare : domainToASCII(bare);
  return ascii === "" ? undefined : `${below ? "." : ""}${ascii}`;
}
