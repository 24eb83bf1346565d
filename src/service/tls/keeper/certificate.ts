import { X509Certificate, createHash, createPrivateKey } from "node:crypto";
import { ok, refused, type Result } from "../../../foundation/result.ts";
import { pemBlocks } from "./pem.ts";

/** A certificate chain and its key as text, with what they say of themselves. Plain data: it travels between processes. */
export interface CertificatePair {
  /** The host names it serves, lower case, `*.domain` included: those set, else those in the certificate. */
  readonly names: readonly string[];
  readonly certificatePem: string;
  /** For a key in a token: what OpenSSL's provider reads instead (`pkcs11.ts`). */
  readonly keyPem: string;
  /** `ec`, `rsa`, `ed25519`: one name may have a pair of each kind. */
  readonly keyKind: string;
  readonly notBeforeAt: number;
  readonly notAfterAt: number;
  /** The certificate's file, or `self-signed`; for people. */
  readonly origin: string;
  /** SHA-256 of the certificate's DER form, lower-case hex; says nothing of the chain. */
  readonly fingerprint: string;
  /** Tells versions apart: another one for another chain or key, too. */
  readonly version: string;
}

/** Kinds of keys that certificates are asked for with. */
export type RequestedKeyKind = "ec" | "rsa";

/** Which of the two files is wrong, and how. */
export interface PairRefusal {
  readonly part: "certificate" | "key";
  readonly text: string;
  /** Nothing is known of the file's content: it is there, and could not be read. */
  readonly isUnread?: boolean | undefined;
}

/**
 * Reads both texts and checks that they belong together. Says nothing of expiry: that depends on the time (`ageOf`).
 * `isKeyElsewhere`: the key's text only says where the key is, so nobody can compare it.
 */
export function parsePair(given: {
  certificatePem: string;
  keyPem: string;
  origin: string;
  names?: readonly string[] | undefined;
  isKeyElsewhere?: boolean | undefined;
}): Result<CertificatePair, PairRefusal> {
  const chain = pemBlocks(given.certificatePem).certificates;
  if (chain[0] === undefined) {
    const isKey = given.certificatePem.includes("PRIVATE KEY-----");
    return refused({
      part: "certificate",
      text: isKey ? "holds a private key, not a certificate" : "holds no certificate in PEM form",
    });
  }
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(chain[0]);
    for (const other of chain.slice(1)) void new X509Certificate(other);
  } catch {
    return refused({ part: "certificate", text: "holds a certificate that cannot be read: it is damaged" });
  }
  if (given.isKeyElsewhere !== true) {
    const problem = keyProblem(given.keyPem, certificate, chain);
    if (problem !== undefined) return refused({ part: "key", text: problem });
  }
  const names = given.names ?? namesIn(certificate);
  const certificatePem = chain.join("");
  // Only the key goes on: a file may hold certificates besides, and text that OpenSSL would stumble over.
  const keyPem = given.isKeyElsewhere === true ? given.keyPem : (pemBlocks(given.keyPem).keys[0] ?? given.keyPem);
  return ok({
    names: names.map((name) => name.toLowerCase()),
    certificatePem,
    keyPem,
    version: createHash("sha256").update(certificatePem).update(keyPem).digest("hex"),
    keyKind: certificate.publicKey.asymmetricKeyType ?? "unknown",
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    notBeforeAt: certificate.validFromDate.getTime(),
    notAfterAt: certificate.validToDate.getTime(),
    origin: given.origin,
  });
}

/** Why a key is not that of the certificate, which is the first of `chain`. */
function keyProblem(keyPem: string, certificate: X509Certificate, chain: readonly string[]): string | undefined {
  let key;
  try {
    key = createPrivateKey(keyPem);
  } catch {
    if (keyPem.includes("ENCRYPTED")) return "is protected by a passphrase; a server cannot type one";
    return keyPem.includes("-----BEGIN CERTIFICATE")
      ? "holds a certificate, not a private key"
      : "holds no private key in PEM form";
  }
  if (certificate.checkPrivateKey(key)) return undefined;
  return chain.slice(1).some((other) => new X509Certificate(other).checkPrivateKey(key))
    ? "belongs to a later certificate of the chain: the server's own must come first"
    : "does not belong to the certificate";
}

/** The DNS names of the subjectAltName; the common name only where there is no such extension (RFC 6125 section 6.4.4). */
function namesIn(certificate: X509Certificate): readonly string[] {
  const alternative = certificate.subjectAltName;
  if (alternative !== undefined)
    return [...alternative.matchAll(/DNS:([^,\s]+)/g)].map((match) => match[1] ?? "").filter((name) => name !== "");
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return common === undefined ? [] : [common];
}

/** Whether a pair serves a name: exactly, or by a wildcard for one label (RFC 6125 section 6.4.3). */
export function servesName(pair: Pick<CertificatePair, "names">, name: string): boolean {
  const folded = name.toLowerCase();
  const dot = folded.indexOf(".");
  return pair.names.includes(folded) || (dot > 0 && pair.names.includes(`*${folded.slice(dot)}`));
}

const DAY_MS = 86_400_000;

/** What is wrong with the certificate's dates now, or soon; undefined when nothing is. */
export function ageOf(
  pair: Pick<CertificatePair, "notBeforeAt" | "notAfterAt">,
  nowAt: number,
  soonMs = 21 * DAY_MS,
): { readonly kind: "future" | "expired" | "expiring"; readonly days: number } | undefined {
  const days = (ms: number): number => Math.floor(ms / DAY_MS);
  if (nowAt < pair.notBeforeAt) return { kind: "future", days: days(pair.notBeforeAt - nowAt) };
  if (nowAt > pair.notAfterAt) return { kind: "expired", days: days(nowAt - pair.notAfterAt) };
  if (pair.notAfterAt - nowAt < soonMs) return { kind: "expiring", days: days(pair.notAfterAt - nowAt) };
  return undefined;
}

/** `expires in 9 days`, and its kin; undefined when there is nothing to say. */
export function ageText(
  pair: Pick<CertificatePair, "notBeforeAt" | "notAfterAt">,
  nowAt: number,
  soonMs: number,
): string | undefined {
  const age = ageOf(pair, nowAt, soonMs);
  if (age === undefined) return undefined;
  const days = `${age.days} ${age.days === 1 ? "day" : "days"}`;
  return { future: `is not valid yet, for ${days}`, expired: `expired ${days} ago`, expiring: `expires in ${days}` }[
    age.kind
  ];
}
