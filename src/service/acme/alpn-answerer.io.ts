import { createSecureContext, createServer, type SecureContext } from "node:tls";
import type { Socket } from "node:net";
import { descriptorOf } from "../../foundation/ffi/peer-credentials.io.ts";
import { listening, portOf, type AnswererPlace, type ListeningAnswerer } from "./http-answerer.io.ts";
import { boundVisitors } from "./visitors.io.ts";

/** RFC 8737 section 6.2. */
const ACME_ALPN = "acme-tls/1";
const HANDSHAKE_WITHIN_MS = 5000;

/**
 * Answers tls-alpn-01 (RFC 8737): a handshake with `acme-tls/1` for a name whose challenge is open is shown the challenge's
 * certificate, and then ends. Every other handshake fails. Throws `PORT_UNAVAILABLE`.
 */
export async function alpnAnswerer(place: AnswererPlace): Promise<ListeningAnswerer> {
  const contexts = new Map<string, SecureContext>();
  const server = createServer({
    handshakeTimeout: HANDSHAKE_WITHIN_MS,
    minVersion: "TLSv1.2",
    ALPNCallback: ({ protocols }) => (protocols.includes(ACME_ALPN) ? ACME_ALPN : undefined),
    SNICallback(name, done) {
      const context = contexts.get(name.toLowerCase());
      if (context === undefined) done(new Error("no challenge is open for this name"));
      else done(null, context);
    },
  });
  const open = boundVisitors(server);
  server.on("connection", (socket: Socket) => {
    // Beyond the handshake, which has its own deadline, nothing is said.
    socket.setTimeout(2 * HANDSHAKE_WITHIN_MS, () => socket.destroy());
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    socket.resume();
    socket.end();
  });
  await listening(server, place, "acme tls-alpn");
  return {
    port: portOf(server.address()),
    get fd() {
      return descriptorOf(server);
    },
    async show({ name, certificate }) {
      const folded = name.toLowerCase();
      if (certificate !== undefined)
        contexts.set(folded, createSecureContext({ cert: certificate.certificatePem, key: certificate.keyPem }));
      return async () => {
        contexts.delete(folded);
      };
    },
    async close() {
      server.close();
      for (const socket of open.keys()) socket.destroy();
    },
  };
}
