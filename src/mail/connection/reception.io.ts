import type { Socket } from "node:net";
import type { Timer } from "../../foundation/clock.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import type { TlsConnection } from "../../service/tls/tls.ts";
import type { RunningSession, SessionServices } from "../session/services.ts";
import { runSession } from "../session/session.io.ts";
import { clientText, type Peer } from "../session/state.ts";
import { clientName } from "./client-name.ts";
import { termsOf, type ListenerRules } from "./connection.ts";
import { badProxyHeader, connected, disconnected, implicitTlsFailed, refused } from "./events.ts";
import type { Admission, Limits } from "./limits.ts";
import { isLoopback, plainAddress } from "./networks.ts";
import { parseProxyHeader } from "./proxy-header.ts";

/** One connection from its acceptance to its end: limits, PROXY header, implicit TLS, the client's name, session. */
export interface Receiving {
  stop(): void;
  destroy(): void;
}

export interface ReceptionOptions {
  readonly socket: Socket;
  readonly rules: ListenerRules;
  readonly limits: Limits;
  readonly services: SessionServices;
  readonly resolver: Resolver | undefined;
  readonly hasCertificate: () => boolean;
  readonly newSessionId: () => string;
  /** The session is over and the socket closed. */
  readonly onEnd: () => void;
}

/** How long a refused client may take to read why. */
const REFUSAL_MS = 2000;

export class Reception implements Receiving {
  readonly #options: ReceptionOptions;
  readonly #startedAt: number;
  #session: RunningSession | undefined;
  #sessionId = "";
  #admission: Extract<Admission, { isAdmitted: true }> | undefined;
  #proxy: string | undefined;
  #timer: Timer | undefined;
  #isStopping = false;
  #isClosed = false;
  #isSessionOver = false;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#startedAt = options.services.clock.monotonicMs();
  }

  begin(): void {
    const { socket, rules } = this.#options;
    socket.on("error", ignore);
    socket.once("close", this.#onClose);
    // A client that has gone already has no address; a unix socket's never has one.
    const address = socket.remoteAddress === undefined ? undefined : plainAddress(socket.remoteAddress);
    if (address === undefined && rules.settings.path === undefined && socket.destroyed) return;
    if (address !== undefined && rules.proxies.has(address)) this.#readProxyHeader(address);
    else this.#admit({ address, port: socket.remotePort });
  }

  stop(): void {
    this.#isStopping = true;
    if (this.#session === undefined) this.#options.socket.destroy();
    else this.#session.stop();
  }

  destroy(): void {
    if (this.#session === undefined) this.#options.socket.destroy();
    else this.#session.destroy();
  }

  readonly #onClose = (): void => {
    this.#timer?.cancel();
    this.#isClosed = true;
    this.#leave();
  };

  /** A place is free as soon as the socket is closed or the session over: the end of TLS is waited for without one. */
  #leave(): void {
    this.#admission?.left();
    this.#admission = undefined;
    // A session may still be keeping a message when its socket is closed, and has ended before TLS has.
    if (this.#isClosed && (this.#session === undefined || this.#isSessionOver)) this.#options.onEnd();
  }

  #readProxyHeader(proxy: string): void {
    const { socket, rules, limits, services } = this.#options;
    // Until the client is known only the limit of connections in all holds.
    const admission = limits.admit(undefined);
    if (!admission.isAdmitted) return this.#refuse({ address: proxy }, admission.because);
    this.#admission = admission;
    this.#proxy = proxy;
    let held: Buffer = Buffer.alloc(0);
    const fail = (reason: string): void => {
      services.emit(badProxyHeader, { listener: rules.settings.name, proxy, reason });
      socket.destroy();
    };
    this.#timer = services.clock.after(rules.settings.proxyTimeout, () => fail("no PROXY header in time"));
    const onData = (bytes: Buffer): void => {
      held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
      const header = parseProxyHeader(held);
      if (header.kind === "incomplete") return;
      socket.pause();
      socket.off("data", onData);
      this.#timer?.cancel();
      if (header.kind === "refused") return fail(`expected ${header.expected}`);
      const rest = held.subarray(header.lengthBytes);
      if (rest.length > 0) socket.unshift(rest);
      admission.left();
      this.#admission = undefined;
      const { client } = header;
      if (client === undefined) this.#admit({ address: proxy, port: socket.remotePort });
      else this.#admit({ address: plainAddress(client.address), port: client.port });
    };
    socket.on("data", onData);
  }

  #admit(peer: Peer): void {
    const { limits, rules, services, socket } = this.#options;
    const admission = limits.admit(peer.address);
    if (!admission.isAdmitted) return this.#refuse(peer, admission.because);
    this.#admission = admission;
    this.#sessionId = this.#options.newSessionId();
    if (rules.settings.tls !== "implicit") return this.#name(peer, socket, undefined);
    if (!admission.allowance.take("handshake")) return this.#refuse(peer, "TLS handshake rate");
    void services.tls.accept(socket, { deadlineMs: rules.session.handshakeTimeout }).then((outcome) => {
      if (outcome.ok) return this.#name(peer, outcome.connection.socket, outcome.connection);
      const { name: listener } = rules.settings;
      const reason = outcome.finding.sentence;
      services.emit(implicitTlsFailed, { session: this.#sessionId, listener, client: clientText(peer), reason });
      return undefined;
    });
  }

  /** Looks up who it is, without reading on; then the session begins. */
  #name(peer: Peer, socket: Socket, tls: TlsConnection | undefined): void {
    const { rules, resolver, services } = this.#options;
    const { address } = peer;
    if (address === undefined || isLoopback(address))
      return this.#beginSession({ ...peer, name: "localhost" }, socket, tls, undefined);
    if (!rules.settings.reverseDns || resolver === undefined) return this.#beginSession(peer, socket, tls, undefined);
    // Somebody who speaks before we do is heard, so that the session can tell.
    let early: Buffer | undefined;
    const onData = (bytes: Buffer): void => {
      early = bytes;
      socket.pause();
      socket.off("data", onData);
    };
    socket.on("data", onData);
    // A PROXY header in front has left it paused.
    socket.resume();
    void clientName(resolver, services.clock, address, rules.settings.reverseDnsTimeout).then((name) => {
      socket.off("data", onData);
      if (!socket.destroyed && !this.#options.socket.destroyed)
        this.#beginSession({ ...peer, name }, socket, tls, early);
    });
  }

  #beginSession(peer: Peer, socket: Socket, tls: TlsConnection | undefined, early: Buffer | undefined): void {
    const { rules, services } = this.#options;
    const { name: listener } = rules.settings;
    const admission = this.#admission;
    if (admission === undefined || this.#isStopping) return void socket.destroy();
    const session = this.#sessionId;
    const { address, port } = peer;
    services.emit(connected, { session, listener, client: clientText(peer), address, port, proxy: this.#proxy });
    this.#session = runSession({
      socket,
      terms: termsOf(rules, session, peer, this.#options.hasCertificate()),
      peer,
      tls,
      allowance: admission.allowance,
      services,
      early,
      onEnd: (summary) => {
        const client = clientText(summary.peer);
        const tookMs = Math.round(services.clock.monotonicMs() - this.#startedAt);
        services.emit(disconnected, { session, listener, client, commands: summary.commands, tookMs });
        this.#isSessionOver = true;
        this.#leave();
      },
    });
    return undefined;
  }

  /** Beyond a limit: one reply where plaintext is spoken, and the end, without waiting for anything. */
  #refuse(peer: Peer, limit: string): void {
    const { socket, rules, services } = this.#options;
    services.emit(refused, { listener: rules.settings.name, client: clientText(peer), limit: LIMITS[limit] ?? limit });
    if (rules.settings.tls === "implicit") return void socket.destroy();
    socket.end(`421 4.7.0 ${rules.hostname} Too many connections; come again later\r\n`);
    socket.resume();
    this.#timer = services.clock.after(REFUSAL_MS, () => socket.destroy());
    return undefined;
  }
}

const LIMITS: Readonly<Record<string, string>> = {
  connections: "concurrency",
  "per-address": "concurrency per address",
  "per-network": "concurrency per network",
  rate: "rate",
};

function ignore(): void {
  // The close that follows an error says all we need.
}
