/**
 * Keys that mail is signed with. The keeper reads them, like the keys of certificates; the processes that sign get those of a
 * domain when they need them, and see neither the others nor the files. Never logged, never stored.
 */
export interface SigningKeeper {
  /** Those that the filter of this name has for the domain, or for the nearest above it. */
  signingKeys(filter: string, domain: string): Promise<SigningKeysAnswer>;
}

export type SigningKeysAnswer =
  | { readonly kind: "found"; readonly domain: string; readonly keys: readonly SigningKeyMaterial[] }
  | { readonly kind: "none" }
  /** Not "none": a table or a file failed. */
  | { readonly kind: "failed"; readonly text: string };

export interface SigningKeyMaterial {
  readonly selector: string;
  /** PKCS#8, PEM. */
  readonly pem: string;
  readonly kind: "rsa" | "ed25519";
}

/** The domain and those above it, the nearest first; none of a single label. */
export function domainsAbove(domain: string): readonly string[] {
  const labels = domain.toLowerCase().split(".").slice(-16);
  return labels.slice(0, -1).map((_, at) => labels.slice(at).join("."));
}
