/** A place for authorities that the environment of the server names. */
export interface NamedAuthorities {
  readonly variable: "SSL_CERT_FILE" | "SSL_CERT_DIR";
  /** A file for `SSL_CERT_FILE`, a folder for `SSL_CERT_DIR`. */
  readonly path: string;
}

/**
 * What stands in the place of the system's store, as for every program that uses OpenSSL: one file, and folders with
 * colons between them. A variable without a value names nothing.
 */
export function namedAuthorities(environment: NodeJS.ProcessEnv): readonly NamedAuthorities[] {
  const { SSL_CERT_FILE: file = "", SSL_CERT_DIR: folders = "" } = environment;
  return [
    ...(file === "" ? [] : [{ variable: "SSL_CERT_FILE", path: file } as const]),
    ...folders
      .split(":")
      .filter((path) => path !== "")
      .map((path) => ({ variable: "SSL_CERT_DIR", path }) as const),
  ];
}

/** OpenSSL looks for an authority under the hash of its name and a number. `openssl rehash` makes such names. */
export function isHashName(name: string): boolean {
  return /^[0-9a-f]{8}\.\d{1,6}$/.test(name);
}

/** Where systems keep them in one file. Those of other kinds than the first known are for Alpine, Fedora, BSD, macOS. */
export const STORES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/usr/local/share/certs/ca-root-nss.crt",
] as const;
