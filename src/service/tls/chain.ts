import { X509Certificate } from "node:crypto";
import { pemBlocks } from "./keeper/pem.ts";

/** Authorities by their subject, made once: there are more than a hundred. */
export interface KnownRoots {
  readonly bySubject: ReadonlyMap<string, readonly X509Certificate[]>;
}

/** Those that cannot be read are left out. */
export function knownRoots(pems: readonly string[]): KnownRoots {
  const bySubject = new Map<string, X509Certificate[]>();
  for (const pem of pems) {
    try {
      const root = new X509Certificate(pem);
      const others = bySubject.get(root.subject);
      if (others === undefined) bySubject.set(root.subject, [root]);
      else others.push(root);
    } catch {
      // One damaged authority among many is not the server's own certificate's fault.
    }
  }
  return { bySubject };
}

/**
 * What is missing for others to follow a chain from the server's own certificate to an authority; undefined when nothing is.
 * A certificate that signed itself has no chain. RFC 8446 section 4.4.2: all but the root are sent, and most clients do not
 * go and look for what was not.
 */
export function chainGap(chainPem: string, roots: KnownRoots): string | undefined {
  const chain: X509Certificate[] = [];
  try {
    for (const pem of pemBlocks(chainPem).certificates) chain.push(new X509Certificate(pem));
  } catch {
    return "a certificate of the chain cannot be read";
  }
  const [leaf, ...others] = chain;
  if (leaf === undefined) return "there is no certificate";
  const left = new Set(others);
  let current = leaf;
  for (;;) {
    // Whatever its extensions say it may sign: one that signed itself has nobody above it.
    if (current.subject === current.issuer && current.verify(current.publicKey)) return undefined;
    const subject = current;
    if ((roots.bySubject.get(current.issuer) ?? []).some((root) => isIssuedBy(subject, root))) return undefined;
    const issuer = [...left].find((candidate) => isIssuedBy(subject, candidate));
    if (issuer === undefined) {
      const name = oneLineName(current.issuer);
      const isKnownRootByName = roots.bySubject.has(current.issuer);
      if (isKnownRootByName) return `${name}, whom it names as its issuer, did not sign it`;
      return current === leaf && others.length === 0
        ? `the certificate of its issuer, ${name}, is missing, and that is no trusted authority: many clients cannot verify it`
        : `the chain ends at ${oneLineName(current.subject)}: the certificate of its issuer, ${name}, is missing, and that is no trusted authority`;
    }
    left.delete(issuer);
    current = issuer;
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** `CN=Example CA,O=Example`; the most telling part first, as people name authorities. */
/** `CN=Lower CA, O=Example`, as people read a name of a certificate. */
export function oneLineName(name: string): string {
  return name.split("\n").toReversed().join(",");
}
