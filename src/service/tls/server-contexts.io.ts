import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { CertificatePair } from "./certificate.ts";

/** The TLS contexts of a server: one for each set of names, chosen by the name the client asks for (SNI, RFC 6066). */
export interface ServerTls {
  /** By exact name, then by a wildcard for one label, then the default: a client without our name is still served. */
  contextFor(name: string | undefined): SecureContext;
  /** That of the first certificate. */
  readonly defaultContext: SecureContext;
  /** What that context was made of: a `tls.Server` takes its own default in this form only. */
  readonly defaultOptions: SecureContextOptions;
}

export interface ServerTlsSettings {
  /** In the order of the settings; the first is the default. At least one. */
  readonly certificates: readonly Pick<CertificatePair, "names" | "certificatePem" | "keyPem" | "keyKind">[];
  readonly minVersion?: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3" | undefined;
  readonly ciphers?: string | undefined;
}

/** Throws when OpenSSL refuses a pair; `parsePair` has found nearly every reason for that before. */
export function serverTls(settings: ServerTlsSettings): ServerTls {
  // Pairs of the same names but other key kinds serve together: the handshake takes the one that the client can verify.
  const groups = new Map<string, ServerTlsSettings["certificates"][number][]>();
  for (const pair of settings.certificates) {
    const label = [...pair.names].sort().join(" ");
    const group = groups.get(label) ?? [];
    if (!group.some((other) => other.keyKind === pair.keyKind)) group.push(pair);
    groups.set(label, group);
  }
  const byName = new Map<string, SecureContext>();
  let first: { context: SecureContext; options: SecureContextOptions } | undefined;
  for (const group of groups.values()) {
    const options: SecureContextOptions = {
      cert: group.map((pair) => pair.certificatePem),
      key: group.map((pair) => pair.keyPem),
      minVersion: settings.minVersion ?? "TLSv1.2",
      // A client that has the handshake made again and again would cost us a millisecond each time.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ...(settings.ciphers === undefined ? {} : { ciphers: settings.ciphers }),
    };
    const context = createSecureContext(options);
    first ??= { context, options };
    for (const name of group[0]?.names ?? []) if (!byName.has(name)) byName.set(name, context);
  }
  if (first === undefined) throw new TypeError("a TLS server needs a certificate");
  const defaultContext = first.context;
  return {
    defaultContext,
    defaultOptions: first.options,
    contextFor(name) {
      if (name === undefined) return defaultContext;
      const folded = name.toLowerCase();
      const dot = folded.indexOf(".");
      return byName.get(folded) ?? (dot > 0 ? byName.get(`*${folded.slice(dot)}`) : undefined) ?? defaultContext;
    },
  };
}
