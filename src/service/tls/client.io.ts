import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { Lingering } from "./close.io.ts";
import { LiveConnection } from "./connection.io.ts";
import { readFacts, shownChain } from "./read-facts.ts";
import { SessionCache } from "./session-cache.ts";
import type { ConnectOptions, Handshaken, ShownChain, TlsClientEngine } from "./tls.ts";

/**
 * The client's side. Node never rejects for us: its own rejection would cut the connection without an alert, which the
 * other side can only log as a mystery. We judge (`options.verify`), and whoever uses the connection leaves in good order.
 *
 * Sessions are kept for `sessionLifetimeMs` from their first handshake, at most `mostSessions` of them.
 */
export function tlsClientEngine(parts: {
  clock: Clock;
  sessionLifetimeMs?: number | undefined;
  mostSessions?: number | undefined;
}): ClientEngine {
  const { clock, sessionLifetimeMs = 3_600_000, mostSessions = 1000 } = parts;
  const sessions = new SessionCache({ clock, lifetimeMs: sessionLifetimeMs, most: mostSessions });
  const open = new Set<LiveConnection>();
  const lingering = new Lingering();
  return {
    sessions,
    async connect(raw, options) {
      const { connection, shaken } = handshake(raw, options, { clock, sessions, lingering });
      open.add(connection);
      connection.onClosed(() => open.delete(connection));
      const result = await shaken;
      if (!result.ok) open.delete(connection);
      return result;
    },
    async settled() {
      const closing = [...open].filter((connection) => connection.isClosing);
      await Promise.all(closing.map((connection) => new Promise((resolve) => connection.onClosed(resolve))));
    },
  };
}

export interface ClientEngine extends TlsClientEngine {
  readonly sessions: SessionCache;
  /** Every connection that is being closed is closed. Takes no longer than their deadlines. */
  settled(): Promise<void>;
}

function handshake(
  raw: Duplex,
  options: ConnectOptions,
  { clock, sessions, lingering }: { clock: Clock; sessions: SessionCache; lingering: Lingering },
): { readonly connection: LiveConnection; readonly shaken: Promise<Handshaken> } {
  const { deadlineMs, context, sessionKey: key, alpn } = options;
  // RFC 6066 section 3: no addresses in SNI.
  const serverName =
    options.serverName === undefined || options.serverName === "" || isIP(options.serverName) !== 0
      ? undefined
      : options.serverName;
  const connection = new LiveConnection(raw, { role: "client", clock, watch: options.watch, lingering });
  const kept = key === undefined ? undefined : sessions.find(key, { context, serverName });
  const shaken = new Promise<Handshaken>((resolve) => {
    let isSettled = false;
    const settle = (make: () => Handshaken): void => {
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      resolve(make());
    };
    const fail = (end: Parameters<LiveConnection["explainFailure"]>[0], error?: unknown): void =>
      settle(() => {
        // A server that stumbles over its own session gets a new one next time.
        if (key !== undefined) sessions.forget(key);
        const about = { serverName: options.serverName, deadlineMs, alpn, isResumed: kept !== undefined };
        return { ok: false, finding: connection.explainFailure(end, error, about) };
      });
    const timer = clock.after(deadlineMs, () => fail("timeout"));
    connection.onHandshakeFailed(fail);
    let socket: TLSSocket;
    try {
      socket = connect({
        socket: connection.tap,
        secureContext: context,
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
        ...(serverName === undefined ? {} : { servername: serverName }),
        ...(alpn === undefined || alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
        ...(kept === undefined ? {} : { session: kept.entry.session }),
      });
    } catch (thrown) {
      fail("local", thrown);
      return;
    }
    connection.attach(socket);
    const bornMs = clock.monotonicMs();
    let shown: ShownChain | undefined;
    if (key !== undefined)
      socket.on("session", (session) => {
        // TLS 1.2 gives it before the handshake is told to be done.
        shown ??= shownBy(socket, kept?.entry.shown);
        const born = socket.isSessionReused() ? (kept?.bornMs ?? bornMs) : bornMs;
        sessions.keep(key, { session, shown, context, serverName }, born);
      });
    socket.once("secureConnect", () =>
      settle(() => {
        shown ??= shownBy(socket, kept?.entry.shown);
        const { recorder } = connection;
        const handshakeMs = recorder.elapsedMs;
        const verdict = options.verify(shown);
        connection.established(readFacts({ role: "client", socket, recorder, shown, verdict, handshakeMs }));
        return { ok: true, connection };
      }),
    );
  });
  return { connection, shaken };
}

/** The identity of a resumed session is that of its first handshake. */
function shownBy(socket: TLSSocket, first: ShownChain | undefined): ShownChain {
  if (socket.isSessionReused() && first !== undefined) return first;
  return shownChain(socket);
}
