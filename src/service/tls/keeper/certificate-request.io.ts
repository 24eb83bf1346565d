import type { RequestedKeyKind } from "./certificate.ts";

const ALGORITHMS = {
  ec: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
} as const;

/**
 * A new key and the request for a certificate with it (RFC 2986), for these names. P-256, or RSA of 2048 bits: what every
 * authority takes and every client verifies. The names are in the subjectAltName only; authorities ignore the rest.
 */
export async function certificateRequest(
  kind: RequestedKeyKind,
  names: readonly string[],
): Promise<{ readonly keyPem: string; readonly requestPem: string }> {
  // A large library that is needed a few times a year.
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await import("@peculiar/x509");
  const algorithm = ALGORITHMS[kind];
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [],
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns", value })))],
  });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const lines = key.match(/.{1,64}/g) ?? [];
  return {
    keyPem: ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""].join("\n"),
    requestPem: request.toString("pem"),
  };
}
