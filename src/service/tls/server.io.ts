import { AsyncLocalStorage } from "node:async_hooks";
import { createHash, constants, X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { Lingering } from "./close.io.ts";
import { LiveConnection } from "./connection.io.ts";
import type { Verdict } from "./facts.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { NoCertificate } from "./keeper/keeper.ts";
import { soleCertificate } from "./own-facts.ts";
import { ownIssue } from "./own-issue.ts";
import { readFacts, shownChain } from "./read-facts.ts";
import type { EvidenceContext } from "./finding/reasons.ts";
import type { AcceptOptions, Handshaken, ServerProfile, ShownChain, ShownOptions, TlsServer } from "./tls.ts";

/** How long a certificate may be waited for; the handshake's own deadline may be sooner. */
const CONTEXT_LIMIT_MS = 10_000;
/** Node's own deadline, which would leave the socket open; ours comes long before. */
const NODE_DEADLINE_MS = 2 ** 31 - 1;

/** One handshake under way; found again by the asynchronous context that its events come in. */
interface Handshake {
  readonly connection: LiveConnection;
  done(socket: TLSSocket): void;
  failed(error: unknown): void;
  /** What answers the name asked for. */
  chosen?: ShownOptions | undefined;
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
  const lingering = new Lingering();
  /** Each name's certificates have a server of their own, as long as anybody may ask for them. */
  const servers = new WeakMap<ShownOptions, { readonly profile: ServerProfile; readonly server: Server }>();

  const serverFor = (profile: ServerProfile, options: ShownOptions): Server => {
    const known = servers.get(options);
    if (known?.profile === profile) return known.server;
    const server = makeServer(profile, options, handshakes);
    servers.set(options, { profile, server });
    return server;
  };

  return {
    accept(raw: Duplex, options: AcceptOptions): Promise<Handshaken> {
      const { deadlineMs } = options;
      const connection = new LiveConnection(raw, { role: "server", clock, watch: options.watch, lingering });
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
            const alpn = handshake.chosen?.ALPNProtocols;
            const { isUpgrade } = options;
            const issue = ownIssue(handshake.chosen);
            const context = {
              ...contextOf(profile, handshake.chosen, deadlineMs),
              alpn,
              isUpgrade,
              ownIssue: issue,
              ...handshake.noCertificate,
            };
            const finding = connection.explainFailure(end, error, context);
            // Who said nothing of a name, or of TLS at all, was not to be shown any.
            const isToBeShown = connection.recorder.hello !== undefined;
            const ownCertificate = isToBeShown ? certificateIn(handshake.chosen) : undefined;
            return { ok: false, finding: { ...finding, ownCertificate } };
          });
        const timer = clock.after(deadlineMs, () => fail("timeout"));
        const handshake: Handshake = {
          connection,
          done: (socket) =>
            settle(() => {
              establish(connection, socket, profile, handshake.chosen);
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
        const serve = (chosen: ShownOptions): void => {
          if (isSettled) return;
          handshake.chosen = chosen;
          try {
            handshakes.run(handshake, () => serverFor(profile, chosen).emit("connection", connection.tap));
          } catch (thrown) {
            // A context that OpenSSL does not take: ours to mend, never the peer's doing.
            handshake.noCertificate = { known: "no-own-certificate", detail: messageOf(thrown) };
            fail("local", thrown);
          }
        };
        const refuse = (thrown: unknown): void => {
          const known = thrown instanceof NoCertificate ? thrown.reason : "keeper-unavailable";
          handshake.noCertificate = { known, detail: messageOf(thrown) };
          fail("local", thrown);
        };
        connection.onceHello(() => {
          if (isSettled) return;
          if (connection.isShortLine) fail("local");
          else choose(profile, connection, clock, serve, refuse);
        });
      });
    },
  };
}

/**
 * By the name in the ClientHello, which is looked at before TLS gets it. The way that Node has for this (`SNICallback`)
 * replaces one certificate of the default's: with RSA and ECDSA side by side a client would be shown that of another name.
 * Synchronous where the answer is at hand.
 */
function choose(
  profile: ServerProfile,
  connection: LiveConnection,
  clock: Clock,
  serve: (chosen: ShownOptions) => void,
  refuse: (thrown: unknown) => void,
): void {
  const { hello } = connection.recorder;
  try {
    const answer = profile.optionsFor(hello?.serverName, hello?.alpn);
    if (answer instanceof Promise) withinLimit(answer, clock).then(serve, refuse);
    else serve(answer);
  } catch (thrown) {
    refuse(thrown);
  }
}

function makeServer(profile: ServerProfile, options: ShownOptions, handshakes: AsyncLocalStorage<Handshake>): Server {
  const { clientCertificate, ticketKeys, ticketLifetimeMs } = profile;
  const server = createServer({
    ...options,
    allowHalfOpen: true,
    handshakeTimeout: NODE_DEADLINE_MS,
    // A client that has the handshake made again and again would cost us a millisecond each time.
    secureOptions: (options.secureOptions ?? 0) | constants.SSL_OP_NO_RENEGOTIATION,
    requestCert: clientCertificate !== "none",
    // We judge. Node's own refusal cuts the connection without an alert: a mystery to the client.
    rejectUnauthorized: false,
    sessionTimeout: Math.max(1, Math.floor(ticketLifetimeMs / 1000)),
    sessionIdContext: options.sessionIdContext ?? sessionContext(profile),
    ...(ticketKeys === undefined ? {} : { ticketKeys }),
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

function withinLimit(answer: Promise<ShownOptions>, clock: Clock): Promise<ShownOptions> {
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

function establish(
  connection: LiveConnection,
  socket: TLSSocket,
  profile: ServerProfile | undefined,
  chosen: ShownOptions | undefined,
): void {
  // Before Node reads on: an end right behind the handshake is not missed.
  connection.attach(socket);
  const shown = profile?.clientCertificate === "none" ? NOTHING_SHOWN : shownChain(socket);
  const { recorder } = connection;
  const verdict = profile === undefined ? NOT_ASKED : judge(shown, profile);
  const handshakeMs = recorder.elapsedMs;
  const own = soleCertificate(chosen);
  connection.established(readFacts({ role: "server", socket, recorder, shown, verdict, handshakeMs, own }));
}

/** SHA-256 of the first certificate of a server's options. */
function certificateIn(options: ShownOptions | undefined): string | undefined {
  const [first] = [options?.cert ?? []].flat();
  try {
    return first === undefined ? undefined : fingerprintOf(new X509Certificate(first));
  } catch {
    return undefined;
  }
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

/** `chosen`: what answered the name asked for; undefined where it did not come to that. */
function contextOf(
  profile: ServerProfile | undefined,
  chosen: ShownOptions | undefined,
  deadlineMs: number,
): EvidenceContext {
  if (profile === undefined) return { deadlineMs };
  const { clientCertificate, defaultOptions } = profile;
  const shown = chosen ?? defaultOptions;
  const { minVersion = "TLSv1.2", maxVersion = "TLSv1.3" } = shown;
  const ownVersions = minVersion === maxVersion ? `${minVersion} only` : `${minVersion} to ${maxVersion}`;
  return { deadlineMs, clientCertificate, ownVersions, ownKeys: keyKindsOf(shown) };
}

/** The kinds of key of the certificates that are shown, most often asked for where a handshake has failed. */
function keyKindsOf(options: SecureContextOptions): readonly string[] {
  const known = keyKinds.get(options);
  if (known !== undefined) return known;
  const kinds = [options.cert ?? []].flat().flatMap((certificate) => {
    try {
      return [new X509Certificate(certificate).publicKey.asymmetricKeyType ?? "unknown"];
    } catch {
      return [];
    }
  });
  keyKinds.set(options, kinds);
  return kinds;
}

const keyKinds = new WeakMap<SecureContextOptions, readonly string[]>();
