import type { Socket } from "node:net";
import type { Timer } from "../../foundation/clock.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import { knownFinding } from "../../service/tls/finding/known-finding.ts";
import type { WebSources } from "../../service/autoconfig/answer.ts";
import type { TlsConnection } from "../../service/tls/tls.ts";
import type { Allowance } from "../session/allowance.ts";
import { connectionLost } from "../session/events.ts";
import type { KnownClient, RunningSession, SessionServices } from "../session/services.ts";
import { runSession } from "../session/session.io.ts";
import { failureOf } from "../session/tls-lines.ts";
import { traceOf } from "../session/tls-trace.ts";
import { clientText, type Peer } from "../session/state.ts";
import { clientName, nameOfThisHost } from "./client-name.ts";
import { termsOf, type ListenerRules } from "./connection.ts";
import { badProxyHeader, connected, disconnected, implicitTlsFailed, refused, webAnswered } from "./events.ts";
import type { Admission, Limits } from "./limits.ts";
import { plainAddress } from "../../service/table/networks.ts";
import { parseProxyHeader } from "./proxy-header.ts";
import { runWebSession } from "./web-session.io.ts";

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
  /** What is told over HTTP. */
  readonly web?: WebSources | undefined;
  /** Whoever accepted the connection knows who it is. */
  readonly known?: KnownClient | undefined;
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
  /** A handshake is under way, or what came of it is not told yet. */
  #isSecuring = false;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#startedAt = options.services.clock.monotonicMs();
  }

  begin(): void {
    const { socket, rules, known } = this.#options;
    socket.on("error", ignore);
    socket.once("close", this.#onClose);
    const address = socket.remoteAddress === undefined ? undefined : plainAddress(socket.remoteAddress);
    // A client of a unix socket never has an address. One of the network has none when it has gone already: what it still sent
    // can be read, and is not that of a user of this host.
    if (address === undefined && rules.settings.path === undefined && known === undefined) return void socket.destroy();
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
    if (!this.#isClosed || this.#isSecuring) return;
    if (this.#session === undefined || this.#isSessionOver) this.#options.onEnd();
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
    const { limits, socket, rules } = this.#options;
    const admission = limits.admit(peer.address);
    if (!admission.isAdmitted) return this.#refuse(peer, admission.because);
    this.#admission = admission;
    this.#sessionId = this.#options.newSessionId();
    if (rules.settings.tls === "implicit") return this.#secure(peer, admission.allowance);
    const named = this.#nameOf(peer);
    if (!(named instanceof Promise)) return this.#beginSession(named, socket, undefined, undefined);
    const early = hearEarly(socket);
    void named.then((known) => {
      if (!socket.destroyed) this.#beginSession(known, socket, undefined, early());
    });
    return undefined;
  }

  /** Implicit TLS. The name is looked up meanwhile: the log says who it was, whatever comes of the handshake. */
  #secure(peer: Peer, allowance: Allowance): void {
    const { rules, services, socket } = this.#options;
    if (!allowance.take("handshake")) return this.#refuseHandshake(peer);
    this.#isSecuring = true;
    const named = Promise.resolve(this.#nameOf(peer)).then((known) => {
      this.#tellConnected(known);
      return known;
    });
    const deadlineMs = rules.session.handshakeTimeout;
    const { watch } = traceOf(services, { session: this.#sessionId, listener: rules.settings.name }, peer) ?? {};
    void services.tls.accept(socket, { deadlineMs, watch }).then(async (outcome) => {
      const early = outcome.ok ? hearEarly(outcome.connection.socket) : undefined;
      const known = await named;
      this.#isSecuring = false;
      if (!outcome.ok) this.#tellNotSecured(known, outcome.finding);
      else this.#beginSession(known, outcome.connection.socket, outcome.connection, early?.());
      if (this.#isClosed) this.#leave();
    });
    return undefined;
  }

  /** Who it is, as far as the DNS confirms it. A promise only where that has to be waited for. */
  #nameOf(peer: Peer): Peer | Promise<Peer> {
    const { rules, resolver, services } = this.#options;
    const { address } = peer;
    const own = nameOfThisHost(address);
    if (address === undefined || own !== undefined) return { ...peer, name: own };
    if (!rules.settings.reverseDns || resolver === undefined) return peer;
    return clientName(resolver, services.clock, address, rules.settings.reverseDnsTimeout).then((name) => ({
      ...peer,
      name,
    }));
  }

  #tellConnected(peer: Peer): void {
    const { rules, services } = this.#options;
    const { name: listener } = rules.settings;
    const session = this.#sessionId;
    const { address, port } = peer;
    services.emit(connected, { session, listener, client: clientText(peer), address, port, proxy: this.#proxy });
  }

  #tellNotSecured(peer: Peer, finding: TlsFinding): void {
    const { rules, services } = this.#options;
    const client = clientText(peer);
    const session = this.#sessionId;
    const reason = finding.sentence;
    const bounded = services.flights?.bounded(finding, services.clock.now()) ?? finding;
    services.emit(implicitTlsFailed, failureOf({ session, listener: rules.settings.name }, peer, bounded, false));
    services.emit(connectionLost, { session, client, after: "CONNECT", reason });
    this.#tellDisconnected(client, "commands=0/0");
  }

  #tellDisconnected(client: string, commands: string): void {
    const { rules, services } = this.#options;
    const { name: listener } = rules.settings;
    const tookMs = Math.round(services.clock.monotonicMs() - this.#startedAt);
    services.emit(disconnected, { session: this.#sessionId, listener, client, commands, tookMs });
  }

  #beginSession(peer: Peer, socket: Socket, tls: TlsConnection | undefined, early: Buffer | undefined): void {
    const { rules, services } = this.#options;
    const admission = this.#admission;
    if (admission === undefined || this.#isStopping) {
      if (tls === undefined) return void socket.destroy();
      tls.destroy();
      return this.#tellDisconnected(clientText(peer), "commands=0/0");
    }
    if (tls === undefined) this.#tellConnected(peer);
    if (rules.settings.protocol === "http") return this.#beginWeb(peer, socket, tls, early);
    const about = { session: this.#sessionId, listener: rules.settings.name };
    const isTlsQuiet = traceOf(services, about, peer)?.level === 0 || undefined;
    this.#session = runSession({
      socket,
      terms: termsOf(rules, this.#sessionId, peer, this.#options.hasCertificate(), isTlsQuiet),
      peer,
      tls,
      allowance: admission.allowance,
      known: this.#options.known,
      services,
      early,
      onEnd: (summary) => {
        this.#tellDisconnected(clientText(summary.peer), summary.commands);
        this.#isSessionOver = true;
        this.#leave();
      },
    });
    return undefined;
  }

  #beginWeb(peer: Peer, socket: Socket, tls: TlsConnection | undefined, early: Buffer | undefined): void {
    const { services, web, rules } = this.#options;
    const { clock } = services;
    const session = this.#sessionId;
    const { name: listener } = rules.settings;
    if (web === undefined) return void (tls ?? socket).destroy();
    this.#session = runWebSession({
      socket,
      sources: web,
      clock,
      early,
      onEnd: ({ asked, status }) => {
        const client = clientText(peer);
        if (asked !== undefined) services.emit(webAnswered, { session, listener, client, asked, status });
        this.#tellDisconnected(client, "");
        this.#isSessionOver = true;
        this.#leave();
      },
    });
    return undefined;
  }

  /** Known by the TLS commands, too: a client that only ever meets this limit would else have no failures. */
  #refuseHandshake(peer: Peer): void {
    const { rules, services, socket } = this.#options;
    const { name: listener } = rules.settings;
    const session = this.#sessionId;
    const finding = knownFinding("too-many-handshakes", { role: "server", startedAt: services.clock.now() });
    const { client, details } = failureOf({ session, listener }, peer, finding, false);
    services.emit(refused, { listener, client, limit: "TLS handshake rate", session, details });
    socket.destroy();
  }

  /** Beyond a limit: one reply where plaintext is spoken, and the end, without waiting for anything. */
  #refuse(peer: Peer, limit: string): void {
    const { socket, rules, services } = this.#options;
    services.emit(refused, { listener: rules.settings.name, client: clientText(peer), limit: LIMITS[limit] ?? limit });
    if (rules.settings.tls === "implicit") return void socket.destroy();
    if (rules.settings.protocol === "http") return void socket.destroy();
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

/** Somebody who speaks before we do is heard, so that the session can tell. Gives what came, and hears no more. */
function hearEarly(socket: Socket): () => Buffer | undefined {
  let early: Buffer | undefined;
  const onData = (bytes: Buffer): void => {
    early = bytes;
    socket.pause();
    socket.off("data", onData);
  };
  socket.on("data", onData);
  // A PROXY header in front has left it paused.
  socket.resume();
  return () => {
    socket.off("data", onData);
    return early;
  };
}

function ignore(): void {
  // The close that follows an error says all we need.
}
