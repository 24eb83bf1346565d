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

/** The DNS names of the subjectAltName, lower case, as they are written there; at most `most`. */
export function dnsNamesOf(certificate: X509Certificate, most = 50): readonly string[] {
  return alternativeNames(certificate, "DNS", most).map((name) => name.toLowerCase());
}

/** The e-mail addresses of the subjectAltName, as they are written there; at most `most`. */
export function emailsOf(certificate: X509Certificate, most = 50): readonly string[] {
  return alternativeNames(certificate, "email", most).filter((name) => /^[^@]+@[^@]+$/.test(name));
}

function alternativeNames(certificate: X509Certificate, kind: string, most: number): readonly string[] {
  // A name that could be mistaken for several is quoted by Node. What stands in the quotes is no list of names, and no
  // host or mailbox that anybody trusts needs them.
  const unquoted = (certificate.subjectAltName ?? "").replace(/"(?:[^"\\]|\\.)*"/g, '"');
  return [...unquoted.matchAll(new RegExp(`(?:^|, )${kind}:([^,\\s"]+)(?=,|$)`, "g"))]
    .slice(0, most)
    .map((match) => match[1] ?? "");
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
