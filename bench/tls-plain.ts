import { AsyncLocalStorage } from "node:async_hooks";
import type { Duplex } from "node:stream";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../src/foundation/clock.ts";
import type { Closing } from "../src/service/tls/facts.ts";
import type { AcceptOptions, Handshaken, ServerProfile, TlsConnection, TlsServer } from "../src/service/tls/tls.ts";

/**
 * TLS as most programs do it, under the same contract as the engine: Node's `TLSSocket` straight on the TCP socket. It knows
 * nothing of records, groups or how a peer ended. For the measurements only: `tls-plain-hook.ts` puts it in the engine's
 * place in a whole server, so that the difference between two runs is the engine's cost and nothing else.
 */
export function tlsServer(parts: { profile: () => ServerProfile | undefined; clock: Clock }): TlsServer {
  const handshakes = new AsyncLocalStorage<(socket: TLSSocket) => void>();
  let latest: { readonly profile: ServerProfile; readonly server: Server } | undefined;
  const serverFor = (profile: ServerProfile): Server => {
    if (latest?.profile === profile) return latest.server;
    const { defaultOptions, ticketKeys, ticketLifetimeMs } = profile;
    const server = createServer({
      ...defaultOptions,
      allowHalfOpen: true,
      sessionTimeout: Math.max(1, Math.floor(ticketLifetimeMs / 1000)),
      ...(ticketKeys === undefined ? {} : { ticketKeys }),
    });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => {});
      handshakes.getStore()?.(socket);
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    latest = { profile, server };
    return server;
  };
  return {
    accept(raw: Duplex, { deadlineMs }: AcceptOptions): Promise<Handshaken> {
      const profile = parts.profile();
      if (profile === undefined) throw new Error("a measurement has a certificate");
      return new Promise((resolve) => {
        const timer = parts.clock.after(deadlineMs, () => raw.destroy());
        const startedMs = parts.clock.monotonicMs();
        handshakes.run(
          (socket) => {
            timer.cancel();
            const handshakeMs = parts.clock.monotonicMs() - startedMs;
            resolve({ ok: true, connection: new PlainConnection(socket, parts.clock, handshakeMs) });
          },
          () => serverFor(profile).emit("connection", raw),
        );
      });
    },
  };
}

class PlainConnection implements TlsConnection {
  readonly socket: TLSSocket;
  readonly facts: TlsConnection["facts"];
  readonly #clock: Clock;
  #we: Closing["we"] = "open";

  constructor(socket: TLSSocket, clock: Clock, handshakeMs: number) {
    this.socket = socket;
    this.#clock = clock;
    this.facts = {
      role: "server",
      version: socket.getProtocol() ?? "unknown",
      cipher: socket.getCipher().standardName,
      bits: 0,
      isResumed: socket.isSessionReused(),
      handshakeMs,
      verdict: { result: "NONE" },
    };
  }

  closing(): Closing {
    return { peer: "unknown", we: this.#we };
  }

  /** As the engine's: our end, the peer's or the deadline. Plain TLS sends its FIN at once. */
  close(deadlineMs: number): Promise<Closing> {
    this.#we = "close_notify+fin";
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve(this.closing());
      const timer = this.#clock.after(deadlineMs, () => this.socket.destroy());
      this.socket.once("close", () => {
        timer.cancel();
        resolve(this.closing());
      });
      this.socket.end();
      this.socket.resume();
      return undefined;
    });
  }

  destroy(): void {
    this.#we = "cut";
    this.socket.destroy();
  }

  flight(): ReturnType<TlsConnection["flight"]> {
    return { role: "server", startedAt: 0, events: [], omitted: 0, bytes: { in: 0, out: 0 }, wire: [] };
  }

  onFinding(): void {
    // It never knows.
  }

  onClosed(tell: (closing: Closing) => void): void {
    if (this.socket.destroyed) tell(this.closing());
    else this.socket.once("close", () => tell(this.closing()));
  }
}
