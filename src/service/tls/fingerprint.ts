import { createHash, type X509Certificate } from "node:crypto";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/** SHA-256 of a certificate's DER form: lower-case hex without colons. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

/** SHA-256 of its public key (SubjectPublicKeyInfo, DER): it stays when the certificate is renewed with the same key. */
export function keyFingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256")
    .update(certificate.publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
}

/** A SHA-256 fingerprint as people write it: in any case, with or without colons, with or without `sha256:` in front. */
export function parseFingerprint(text: string): Result<string, Problem> {
  const hex = text
    .trim()
    .toLowerCase()
    .replace(/^sha-?256[:=]/, "")
    .replaceAll(":", "");
  if (/^[0-9a-f]{64}$/.test(hex)) return ok(hex);
  const isOther = /^[0-9a-f]+$/.test(hex) ? ` (${hex.length * 4} bits are given)` : "";
  return refused({ at: 0, expected: `a SHA-256 fingerprint: 64 hexadecimal digits, colons as you like${isOther}` });
}
