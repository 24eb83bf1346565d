import type { Connected, ConnectRequest, Transacted, TransactRequest } from "../mail/delivery/delivery.ts";
import type { SmtpClientSettings } from "../mail/delivery/settings.ts";
import { lostFailure, type Ended } from "../mail/delivery/smtp/failures.ts";
import {
  beginOpening,
  duringOf,
  onOpeningInput,
  type Opening,
  type OpeningAction,
  type OpeningInput,
} from "../mail/delivery/smtp/opening.ts";
import { connectFailure, firstMode, hostName } from "../mail/delivery/smtp/places.ts";
import { announcedLimits, sizeLimit } from "../protocol/smtp/extensions.ts";
import type { Reply } from "../protocol/smtp/reply.ts";
import { MailRun } from "./mail-run.ts";
import type { Timeline } from "./timeline.ts";
import { HostSession, type Answer } from "./world/host-session.ts";
import { isIpv6, type SimulatedWorld } from "./world/world.ts";

/** What sessions of a run share. */
export interface DialogueParts {
  readonly timeline: Timeline;
  readonly world: SimulatedWorld;
  readonly settings: SmtpClientSettings;
  /** A RCPT that names the n-th recipient of the transaction has left. */
  readonly onPresented: (request: TransactRequest, index: number) => void;
}

/** Where connections come from when the settings name no source. */
const SYSTEM_SOURCE = "203.0.113.1";
/** Round trips of a TLS 1.3 handshake. */
const HANDSHAKE_ROUND_TRIPS = 1;
/** Octets of one command, for the time that they take on their way: next to nothing. */
const NO_BYTES = 0;

/** What a reply, or the lack of one, is told to. */
export interface Listener {
  onReply(reply: Reply): void;
  onEnded(ended: Ended): void;
  /** How long the answer that is waited for may take. */
  limitMs(): number;
}

type Incoming =
  | { readonly at: number; readonly reply: Reply }
  | { readonly at: number; readonly ends: Ended["reason"] };

/**
 * A session with a simulated host: the real machines of the SMTP client on this side, a host's session on the other, and
 * between them flights of commands and replies that take their time. One happening for each flight and each answer.
 */
export class Dialogue implements Listener {
  readonly request: ConnectRequest;
  readonly parts: DialogueParts;
  readonly #onConnected: (connected: Connected) => void;
  readonly #startedAt: number;
  #peer: HostSession | undefined;
  #oneWayMs = 0;
  #bytesPerMs = 1;
  #opening: Opening | undefined;
  #listener: Listener = this;
  /** Answers on their way to us, in order. */
  readonly #incoming: Incoming[] = [];
  #isWatching = false;
  #progressAt = 0;
  #lastFlightAt = 0;
  #ended: Ended | undefined;
  #mode: "may" | "never" | ConnectRequest["tls"];
  #run: MailRun | undefined;

  constructor(request: ConnectRequest, parts: DialogueParts, onConnected: (connected: Connected) => void) {
    this.request = request;
    this.parts = parts;
    this.#onConnected = onConnected;
    this.#startedAt = parts.timeline.now;
    this.#mode = firstMode(request.tls, request.host);
    this.#dial();
  }

  get now(): number {
    return this.parts.timeline.now;
  }

  get ended(): Ended | undefined {
    return this.#ended;
  }

  transact(request: TransactRequest, onTransacted: (transacted: Transacted) => void): void {
    const { extensions } = this.#opening ?? {};
    if (extensions === undefined) throw new Error(`session ${this.request.session} is not open`);
    this.#run ??= new MailRun(this, extensions);
    const run = this.#run;
    this.#progressAt = this.now;
    run.begin(request, (transacted) => {
      if (!transacted.isUsable) this.close();
      onTransacted(transacted);
    });
  }

  /** The host hears of it after half a round trip. */
  close(): void {
    if (this.#ended === undefined) this.#ended = { reason: "closed", text: "" };
    const peer = this.#peer;
    this.#peer = undefined;
    if (peer !== undefined) this.parts.timeline.after(this.#oneWayMs, () => peer.close());
  }

  listen(listener: Listener): void {
    this.#listener = listener;
  }

  /** Commands, one after the other, with so many octets of content behind them; `isContent`: the end of DATA's content. */
  send(text: string, contentBytes = NO_BYTES, isContent = false): void {
    const peer = this.#peer;
    if (this.#ended !== undefined || peer === undefined) return;
    const { timeline } = this.parts;
    const arrivesAt = Math.max(
      timeline.now + this.#oneWayMs + contentBytes / this.#bytesPerMs,
      // What was sent before arrives before.
      this.#lastFlightAt,
    );
    this.#lastFlightAt = arrivesAt;
    timeline.at(arrivesAt, () => {
      if (this.#ended !== undefined) return;
      let at = timeline.now;
      if (text !== "") {
        for (let from = 0, end = text.indexOf("\r\n"); end >= 0; from = end + 2, end = text.indexOf("\r\n", from)) {
          const arrived = this.#take(peer.command(text.slice(from, end), timeline.now), at);
          if (arrived === undefined) return;
          at = arrived;
        }
      }
      if (isContent) this.#take(peer.content(timeline.now), at);
      this.#watch();
    });
  }

  /** An answer begins its way back; returns when it left, or undefined: nothing follows. */
  #take(answer: Answer, from: number): number | undefined {
    if (answer.does === "hang") this.#incoming.push({ at: Infinity, ends: "timeout" });
    else if (answer.does === "cut") this.#incoming.push({ at: from + answer.afterMs + this.#oneWayMs, ends: "closed" });
    else {
      const leftAt = from + answer.afterMs;
      this.#incoming.push({ at: leftAt + this.#oneWayMs, reply: answer.reply });
      if (answer.closes !== true) return leftAt;
      this.#incoming.push({ at: leftAt + this.#oneWayMs, ends: "closed" });
    }
    this.#watch();
    return undefined;
  }

  /** Sees to it that the next answer, or its deadline, happens. */
  #watch(): void {
    if (this.#isWatching || this.#ended !== undefined) return;
    const next = this.#incoming[0];
    if (next === undefined) return;
    this.#isWatching = true;
    const deadlineAt = this.#progressAt + this.#listener.limitMs();
    if (next.at > deadlineAt)
      this.parts.timeline.at(deadlineAt, () => this.#end({ reason: "timeout", text: "silent" }));
    else this.parts.timeline.at(next.at, () => this.#deliver());
  }

  #deliver(): void {
    this.#isWatching = false;
    const { now } = this.parts.timeline;
    // What came at one instant is read at once.
    while (this.#ended === undefined) {
      const next = this.#incoming[0];
      if (next === undefined || next.at > now) break;
      this.#incoming.shift();
      this.#progressAt = now;
      if ("ends" in next) this.#end({ reason: next.ends, text: "the host closed the connection" });
      else this.#listener.onReply(next.reply);
    }
    this.#watch();
  }

  #end(ended: Ended): void {
    if (this.#ended !== undefined) return;
    this.#ended = ended;
    const peer = this.#peer;
    this.#peer = undefined;
    peer?.close();
    this.#listener.onEnded(ended);
  }

  #dial(): void {
    const { timeline, world, settings } = this.parts;
    const { address } = this.request.host;
    const host = "ip" in address ? world.hostAt(address.ip) : undefined;
    const client = this.request.sourceAddress ?? SYSTEM_SOURCE;
    const end = host?.connect(client, "ip" in address && isIpv6(address.ip), timeline.now) ?? "hangs";
    if (end === "hangs" || host === undefined) {
      const limitMs = this.request.connectTimeoutMs ?? settings.connectTimeout;
      timeline.after(limitMs, () => this.#notDialled("timeout", "Connection timed out"));
      return;
    }
    const { latency, bandwidth } = host.model;
    this.#oneWayMs = latency / 2;
    this.#bytesPerMs = bandwidth / 1000;
    if (end === "refuses") {
      timeline.after(latency, () => this.#notDialled("refused", "Connection refused"));
      return;
    }
    const peer = new HostSession(host, client, end);
    this.#peer = peer;
    timeline.after(latency, () => this.#begin(peer));
  }

  #notDialled(reason: "timeout" | "refused", text: string): void {
    const failure = connectFailure({ ok: false, reason, text }, hostName(this.request.host));
    this.#onConnected({ ok: false, failure, scope: "address", tookMs: this.now - this.#startedAt });
  }

  #begin(peer: HostSession): void {
    const { request } = this;
    const [opening, action] = beginOpening({
      protocol: request.protocol,
      helo: request.helo,
      tls: this.#mode,
      mustVerify: request.verify,
      // Whoever simulates has no passwords at hand, and hosts here ask for none.
      hasCredentials: false,
      isConfidential: "path" in request.host.address,
      host: hostName(request.host),
    });
    this.#opening = opening;
    this.#listener = this;
    this.#progressAt = this.now;
    this.#perform(action);
    // The greeting left when the connection was made at the other side.
    this.#take(peer.greet(this.now), this.now - this.#oneWayMs);
    this.#watch();
  }

  onReply(reply: Reply): void {
    this.#input({ on: "reply", reply });
  }

  onEnded(ended: Ended): void {
    const opening = this.#opening;
    if (opening === undefined) return;
    const failure = lostFailure(ended, duringOf(opening), opening.plan.host);
    this.#onConnected({ ok: false, failure, scope: "address", tookMs: this.now - this.#startedAt });
  }

  limitMs(): number {
    const { settings } = this.parts;
    return this.#opening !== undefined && duringOf(this.#opening) === "greeting"
      ? settings.greetingTimeout
      : settings.commandTimeout;
  }

  #input(input: OpeningInput): void {
    if (this.#opening === undefined) return;
    const [opening, action] = onOpeningInput(this.#opening, input);
    this.#opening = opening;
    this.#perform(action);
  }

  #perform(action: OpeningAction | undefined): void {
    if (action === undefined) return;
    switch (action.do) {
      case "send":
        this.send(action.text);
        return;
      case "startTls": {
        const works = this.#peer?.host.model.announces.tls === "works";
        this.parts.timeline.after(this.#oneWayMs * 2 * HANDSHAKE_ROUND_TRIPS, () => {
          if (this.#ended !== undefined) return;
          this.#input(works ? { on: "encrypted" } : { on: "handshake-failed", text: "the handshake failed" });
        });
        return;
      }
      case "ready":
        this.#ready();
        return;
      case "fail":
        this.close();
        this.#onConnected({
          ok: false,
          failure: action.failure,
          scope: action.scope,
          tookMs: this.now - this.#startedAt,
        });
        return;
      case "another":
        this.#again(action.tls);
        return;
      case "beginAuth":
      case "answerChallenge":
    }
  }

  /** On a new connection, with other encryption. */
  #again(mode: "never" | "implicit"): void {
    this.close();
    this.#ended = undefined;
    this.#incoming.length = 0;
    this.#mode = mode;
    this.#dial();
  }

  #ready(): void {
    const { extensions } = this.#opening ?? {};
    if (extensions === undefined) return;
    const limits = announcedLimits(extensions);
    this.#onConnected({
      ok: true,
      session: this.request.session,
      facts: {
        host: hostName(this.request.host),
        extensions: [...extensions.keywords.keys()],
        mostRecipients: limits.rcptMax,
        mostDomains: limits.rcptDomainMax,
        mostTransactions: limits.mailMax,
        sizeLimitBytes: sizeLimit(extensions),
      },
      tookMs: this.now - this.#startedAt,
    });
  }
}
