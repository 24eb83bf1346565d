import { AsyncLocalStorage } from "node:async_hooks";
import { createHash, constants, X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { createServer, type SecureContext, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { LiveConnection } from "./connection.io.ts";
import type { Verdict } from "./facts.ts";
import { NoCertificate } from "./keeper.ts";
import { readFacts, shownChain } from "./read-facts.ts";
import type { EvidenceContext } from "./reasons.ts";
import type { AcceptOptions, Handshaken, ServerProfile, ShownChain, TlsServer } from "./tls.ts";

/** How long a certificate may be waited for; the handshake's own deadline may be sooner. */
const CONTEXT_LIMIT_MS = 10_000;
/** Node's own deadline, which would leave the socket open; ours comes long before. */
const NODE_DEADLINE_MS = 2 ** 31 - 1;

/** One handshake under way; found again by the asynchronous context that its events come in. */
interface Handshake {
  readonly connection: LiveConnection;
  done(socket: TLSSocket): void;
  failed(error: unknown): void;
  /** Why there was no certificate to show. */
  noCertificate?: EvidenceContext | undefined;
}

/**
 * The server's side. `profile` is asked at each handshake, so what changes serves from the next one on; undefined while
 * there is nothing to show. The handshakes go through a `tls.Server` that does not listen: unlike a bare `TLSSocket` it
 * tells of every error.
 */
export function tlsServer(parts: { profile: () => ServerProfile | undefined; clock: Clock }): TlsServer {
  const { clock } = parts;
  const handshakes = new AsyncLocalStorage<Handshake>();
  let latest: { readonly profile: ServerProfile; readonly server: Server } | undefined;

  const serverFor = (profile: ServerProfile): Server => {
    if (latest?.profile !== profile) latest = { profile, server: makeServer(profile, handshakes, clock) };
    return latest.server;
  };

  return {
    accept(raw: Duplex, options: AcceptOptions): Promise<Handshaken> {
      const { deadlineMs } = options;
      const connection = new LiveConnection(raw, { role: "server", clock, watch: options.watch });
      const profile = parts.profile();
      return new Promise((resolve) => {
        let isSettled = false;
        const settle = (make: () => Handshaken): void => {
          if (isSettled) return;
          isSettled = true;
          timer.cancel();
          resolve(make());
        };
        const fail = (end: Parameters<LiveConnection["explainFailure"]>[0], error?: unknown): void =>
          settle(() => {
            const context = { ...contextOf(profile, deadlineMs), ...handshake.noCertificate };
            return { ok: false, finding: connection.explainFailure(end, error, context) };
          });
        const timer = clock.after(deadlineMs, () => fail("timeout"));
        const handshake: Handshake = {
          connection,
          done: (socket) =>
            settle(() => {
              establish(connection, socket, profile);
              return { ok: true, connection };
            }),
          failed: (error) => connection.failed(error),
        };
        connection.onHandshakeFailed(fail);
        if (profile === undefined) {
          handshake.noCertificate = { known: "no-own-certificate" };
          fail("local");
          return;
        }
        try {
          handshakes.run(handshake, () => serverFor(profile).emit("connection", connection.tap));
        } catch (thrown) {
          // A context that OpenSSL does not take: ours to mend, never the peer's doing.
          handshake.noCertificate = { known: "no-own-certificate", detail: messageOf(thrown) };
          fail("local", thrown);
        }
      });
    },
  };
}

function makeServer(profile: ServerProfile, handshakes: AsyncLocalStorage<Handshake>, clock: Clock): Server {
  const { defaultOptions, clientCertificate, ticketKeys, ticketLifetimeMs, alpn } = profile;
  const server = createServer({
    ...defaultOptions,
    allowHalfOpen: true,
    handshakeTimeout: NODE_DEADLINE_MS,
    // A client that has the handshake made again and again would cost us a millisecond each time.
    secureOptions: (defaultOptions.secureOptions ?? 0) | constants.SSL_OP_NO_RENEGOTIATION,
    requestCert: clientCertificate !== "none",
    // We judge. Node's own refusal cuts the connection without an alert: a mystery to the client.
    rejectUnauthorized: false,
    sessionTimeout: Math.max(1, Math.floor(ticketLifetimeMs / 1000)),
    sessionIdContext: defaultOptions.sessionIdContext ?? sessionContext(profile),
    ...(ticketKeys === undefined ? {} : { ticketKeys }),
    ...(alpn === undefined || alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    SNICallback: (serverName, done) => void answerSni(profile, handshakes.getStore(), clock, serverName, done),
  });
  server.on("secureConnection", (socket) => {
    const handshake = handshakes.getStore();
    // Errors that come before the new owner listens must not end the process.
    socket.on("error", () => {});
    if (handshake === undefined) socket.destroy();
    else handshake.done(socket);
  });
  server.on("tlsClientError", (error, socket) => {
    // Node leaves it open.
    socket.destroy();
    handshakes.getStore()?.failed(error);
  });
  return server;
}

/** Synchronous where the context is at hand. Never rejects. */
async function answerSni(
  profile: ServerProfile,
  handshake: Handshake | undefined,
  clock: Clock,
  serverName: string,
  done: (error: Error | null, context?: SecureContext) => void,
): Promise<void> {
  let context: SecureContext | undefined;
  let problem: Error | null = null;
  try {
    const offered = handshake?.connection.recorder.hello?.alpn;
    const answer = profile.contextFor(serverName === "" ? undefined : serverName, offered);
    context = answer instanceof Promise ? await withinLimit(answer, clock) : answer;
  } catch (thrown) {
    problem = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
    const known = thrown instanceof NoCertificate ? thrown.reason : "keeper-unavailable";
    if (handshake !== undefined) handshake.noCertificate = { known, detail: problem.message };
  }
  try {
    done(problem, context);
  } catch (thrown) {
    // The connection has gone meanwhile, or the context is none that OpenSSL takes.
    handshake?.failed(thrown);
  }
}

function withinLimit(answer: Promise<SecureContext>, clock: Clock): Promise<SecureContext> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(CONTEXT_LIMIT_MS, () =>
      reject(new NoCertificate("keeper-unavailable", `no certificate within ${CONTEXT_LIMIT_MS} ms`)),
    );
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * Tickets are good where the same is asked of clients: a session keeps the judgement on its client's certificate. The same
 * in every process.
 */
function sessionContext(profile: ServerProfile): string {
  const hash = createHash("sha256").update(profile.clientCertificate);
  for (const authority of [profile.defaultOptions.ca ?? []].flat()) hash.update(authority);
  return hash.digest("hex").slice(0, 32);
}

function establish(connection: LiveConnection, socket: TLSSocket, profile: ServerProfile | undefined): void {
  // Before Node reads on: an end right behind the handshake is not missed.
  connection.attach(socket);
  const shown = profile?.clientCertificate === "none" ? NOTHING_SHOWN : shownChain(socket);
  const { recorder } = connection;
  const verdict = profile === undefined ? NOT_ASKED : judge(shown, profile);
  const handshakeMs = recorder.elapsedMs;
  connection.established(readFacts({ role: "server", socket, recorder, shown, verdict, handshakeMs }));
}

const NOTHING_SHOWN: ShownChain = { certificates: [], isTrusted: false };
const NOT_ASKED: Verdict = { result: "NONE" };

function judge(shown: ShownChain, profile: ServerProfile): Verdict {
  const { clientCertificate, verifyClient } = profile;
  if (clientCertificate === "none") return NOT_ASKED;
  if (shown.certificates.length === 0) {
    if (clientCertificate === "ask") return NOT_ASKED;
    return { result: "FAIL", problem: { kind: "no-certificate", text: "the client showed no certificate" } };
  }
  if (verifyClient !== undefined) return verifyClient(shown);
  if (shown.isTrusted) return { result: "OK", by: "authorities" };
  const text = `the client's certificate does not verify: ${shown.trustProblem ?? "unknown"}`;
  return { result: "FAIL", by: "authorities", problem: { kind: "other", text } };
}

function contextOf(profile: ServerProfile | undefined, deadlineMs: number): EvidenceContext {
  if (profile === undefined) return { deadlineMs };
  const { clientCertificate, alpn, defaultOptions } = profile;
  const { minVersion = "TLSv1.2", maxVersion = "TLSv1.3" } = defaultOptions;
  const ownVersions = minVersion === maxVersion ? `${minVersion} only` : `${minVersion} to ${maxVersion}`;
  return { deadlineMs, clientCertificate, alpn, ownVersions, ownKeys: keyKindsOf(profile) };
}

/** The kinds of key that a profile's certificates have, most often asked for where a handshake has failed. */
function keyKindsOf(profile: ServerProfile): readonly string[] {
  const known = keyKinds.get(profile);
  if (known !== undefined) return known;
  const kinds = [profile.defaultOptions.cert ?? []].flat().flatMap((certificate) => {
    try {
      return [new X509Certificate(certificate).publicKey.asymmetricKeyType ?? "unknown"];
    } catch {
      return [];
    }
  });
  keyKinds.set(profile, kinds);
  return kinds;
}

const keyKinds = new WeakMap<ServerProfile, readonly string[]>();
