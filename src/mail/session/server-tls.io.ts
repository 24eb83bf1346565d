import { AsyncLocalStorage } from "node:async_hooks";
import { createServer, type SecureContext, type SecureContextOptions, type Server } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { tlsErrorText } from "../../service/tls/error-text.ts";
import type { TlsAcceptor, TlsOutcome } from "./services.ts";

/**
 * The server's side of a TLS handshake on a socket we already hold, for STARTTLS and for implicit TLS. The handshakes go
 * through a `tls.Server` that does not listen: unlike a bare `TLSSocket` it tells of every error.
 */
export interface TlsContexts {
  contextFor(name: string | undefined): SecureContext;
  readonly defaultOptions: SecureContextOptions;
}

interface Handshake {
  settle(outcome: TlsOutcome): void;
  /** As the socket has it, for the time after the handshake. */
  readonly allowHalfOpen: boolean;
  readonly startedAt: number;
}

/** `contexts` is asked at each handshake, so new certificates serve from the next one on. */
export function tlsAcceptor(contexts: () => TlsContexts | undefined, clock: Clock): TlsAcceptor {
  const handshakes = new AsyncLocalStorage<Handshake>();
  let server: { readonly contexts: TlsContexts; readonly tls: Server } | undefined;

  const serverFor = (current: TlsContexts): Server => {
    if (server?.contexts !== current) server = { contexts: current, tls: makeServer(current, handshakes, clock) };
    return server.tls;
  };

  return {
    accept(socket, deadlineMs) {
      const current = contexts();
      if (current === undefined) {
        socket.destroy();
        return Promise.resolve({ ok: false, reason: "no certificate is set" });
      }
      return new Promise((resolve) => {
        let isSettled = false;
        const settle = (outcome: TlsOutcome): void => {
          if (isSettled) return;
          isSettled = true;
          timer.cancel();
          socket.off("close", onClose);
          // Node leaves the socket open after a handshake error or timeout.
          if (!outcome.ok) socket.destroy();
          resolve(outcome);
        };
        const onClose = (): void => settle({ ok: false, reason: "the connection was closed during the handshake" });
        const timer = clock.after(deadlineMs, () => settle({ ok: false, reason: "the handshake took too long" }));
        socket.once("close", onClose);
        // A client that leaves now leaves for good. With half-open allowed its end would go unnoticed until the deadline.
        const { allowHalfOpen } = socket;
        socket.allowHalfOpen = false;
        try {
          handshakes.run({ settle, allowHalfOpen, startedAt: clock.monotonicMs() }, () => {
            serverFor(current).emit("connection", socket);
          });
        } catch (thrown) {
          settle({ ok: false, reason: messageOf(thrown) });
        }
      });
    },
  };
}

function makeServer(contexts: TlsContexts, handshakes: AsyncLocalStorage<Handshake>, clock: Clock): Server {
  const server = createServer({
    ...contexts.defaultOptions,
    SNICallback: (name, done) => {
      done(null, contexts.contextFor(name));
    },
  });
  server.on("secureConnection", (socket) => {
    const handshake = handshakes.getStore();
    // Errors that come before the new owner listens must not end the process.
    socket.on("error", () => {});
    if (handshake === undefined) {
      socket.destroy();
      return;
    }
    socket.allowHalfOpen = handshake.allowHalfOpen;
    const serverName: unknown = socket.servername;
    handshake.settle({
      ok: true,
      socket,
      facts: {
        role: "server",
        version: socket.getProtocol() ?? "unknown",
        cipher: socket.getCipher().standardName,
        bits: 0,
        serverName: typeof serverName === "string" && serverName !== "" ? serverName : undefined,
        isResumed: socket.isSessionReused(),
        handshakeMs: clock.monotonicMs() - handshake.startedAt,
        verdict: { result: "NONE" },
      },
      tookMs: clock.monotonicMs() - handshake.startedAt,
    });
  });
  server.on("tlsClientError", (error, socket) => {
    socket.destroy();
    handshakes.getStore()?.settle({ ok: false, reason: tlsErrorText(error) });
  });
  return server;
}
