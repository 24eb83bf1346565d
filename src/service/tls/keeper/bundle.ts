import { X509Certificate, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { parsePair, type CertificatePair } from "./certificate.ts";
import { pemBlocks } from "./pem.ts";

export interface Bundle {
  readonly pairs: readonly CertificatePair[];
  readonly problems: readonly string[];
}

/**
 * Pairs out of texts in which certificates, keys and chains stand in any order, as tables and folders have them. To each key
 * belongs the certificate with its public key; what issued that one, and so on, is its chain. Never throws.
 */
export function bundleOf(text: string, origin: string, names?: readonly string[]): Bundle {
  const blocks = pemBlocks(text);
  const problems: string[] = [];
  const certificates: { pem: string; certificate: X509Certificate }[] = [];
  for (const pem of blocks.certificates) {
    const certificate = readCertificate(pem);
    if (certificate === undefined) problems.push("holds a certificate that cannot be read: it is damaged");
    else certificates.push({ pem, certificate });
  }
  if (blocks.certificates.length === 0) problems.push("holds no certificate in PEM form");
  if (blocks.keys.length === 0) problems.push("holds no private key in PEM form");
  const pairs: CertificatePair[] = [];
  for (const keyPem of blocks.keys) {
    const key = readKey(keyPem);
    if (key === undefined) {
      problems.push(
        keyPem.includes("ENCRYPTED")
          ? "holds a key that is protected by a passphrase; a server cannot type one"
          : "holds a private key that cannot be read",
      );
      continue;
    }
    const own = certificates.find(({ certificate }) => certificate.checkPrivateKey(key));
    if (own === undefined) {
      if (certificates.length > 0) problems.push("holds a key that belongs to none of its certificates");
      continue;
    }
    const chain = chainOf(own.certificate, certificates);
    const pair = parsePair({
      certificatePem: [own.pem, ...chain].join(""),
      keyPem,
      origin,
      ...(names === undefined ? {} : { names }),
    });
    if (pair.ok) pairs.push(pair.value);
    else problems.push(pair.problem.text);
  }
  return { pairs, problems };
}

/** The certificates above a server's own, in order, up to the root or the first whose issuer is not there. */
function chainOf(
  leaf: X509Certificate,
  all: readonly { readonly pem: string; readonly certificate: X509Certificate }[],
): readonly string[] {
  const chain: string[] = [];
  const left = new Set(all.filter(({ certificate }) => certificate !== leaf));
  let current = leaf;
  for (;;) {
    const issuer = [...left].find(({ certificate }) => current.checkIssued(certificate));
    if (issuer === undefined || current.checkIssued(current)) return chain;
    left.delete(issuer);
    chain.push(issuer.pem);
    current = issuer.certificate;
  }
}

/** What a key and a certificate that belong together have in common. */
export function publicPartOf(pem: { readonly certificate: string } | { readonly key: string }): string | undefined {
  try {
    const key = "key" in pem ? createPublicKey(pem.key) : new X509Certificate(pem.certificate).publicKey;
    return key.export({ type: "spki", format: "der" }).toString("base64");
  } catch {
    return undefined;
  }
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function readKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
