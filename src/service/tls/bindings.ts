import { createHash, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { TlsFacts } from "./facts.ts";

/** Ties a login to the TLS connection it is made over, so that nobody in between can pass it on (RFC 5056). */
export type BindingKind = "tls-exporter" | "tls-server-end-point" | "tls-unique";

/**
 * The value of a channel binding, the same on both sides; undefined where it is not defined for this connection, and for
 * kinds that nobody has defined.
 *
 * `tls-exporter`: RFC 9266, TLS 1.3 only, as older versions without an extended master secret do not tie it to the
 * connection. `tls-unique`: RFC 5929 section 3, TLS 1.2 and older. `tls-server-end-point`: RFC 5929 section 4, every
 * version; `serverCertificate` is the server's in DER form, for a client as it was shown.
 */
export function channelBinding(
  kind: BindingKind | (string & {}),
  connection: { readonly socket: TLSSocket; readonly facts: TlsFacts },
  serverCertificate?: Uint8Array,
): Buffer | undefined {
  const { socket, facts } = connection;
  // Node throws where the connection has just gone.
  if (socket.destroyed) return undefined;
  const isTls13 = facts.version === "TLSv1.3";
  switch (kind) {
    case "tls-exporter":
      // An absent context is another one than an empty one in TLS 1.2; RFC 9266 wants it empty.
      return isTls13 ? socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)) : undefined;
    case "tls-unique": {
      if (isTls13) return undefined;
      // The first Finished of the handshake: the client's, but the server's when a session is resumed.
      const isOurs = (facts.role === "client") !== facts.isResumed;
      return (isOurs ? socket.getFinished() : socket.getPeerFinished()) ?? undefined;
    }
    case "tls-server-end-point": {
      const der = serverCertificate ?? (facts.role === "server" ? socket.getX509Certificate()?.raw : undefined);
      return der === undefined ? undefined : endPoint(der);
    }
    default:
      return undefined;
  }
}

/** RFC 5929 section 4.1: the hash of the certificate's signature, but SHA-256 for MD5 and SHA-1; without one, undefined. */
function endPoint(der: Uint8Array): Buffer | undefined {
  let algorithm: string | undefined;
  try {
    algorithm = new X509Certificate(der).signatureAlgorithm?.toLowerCase();
  } catch {
    return undefined;
  }
  const found = /sha-?(1|224|256|384|512)|md5/.exec(algorithm ?? "");
  if (found === null) return undefined;
  const bits = found[1];
  const hash = bits === undefined || bits === "1" ? "sha256" : `sha${bits}`;
  return createHash(hash).update(der).digest();
}
