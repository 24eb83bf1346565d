import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../foundation/clock.ts";
import type { Cut } from "../../../foundation/deadline.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { Credentials, SaslClient } from "../../../protocol/sasl/client.ts";
import { makeClient } from "../../../protocol/sasl/make-client.ts";
import { scramPbkdf2 } from "../../../protocol/sasl/pbkdf2.io.ts";
import type { DialogueTrace } from "../../../protocol/smtp/dialogue-trace.ts";
import { authMechanisms, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { channelBinding } from "../../../service/tls/bindings.ts";
import type { FlightSampler } from "../../../service/tls/flight/flight-sampler.ts";
import type { TlsFacts } from "../../../service/tls/facts.ts";
import type { TlsFinding } from "../../../service/tls/finding/finding.ts";
import { knownFinding } from "../../../service/tls/finding/known-finding.ts";
import { refusedCertificate } from "../../../service/tls/finding/refused-certificate.ts";
import type { ConnectionTrace } from "../../../service/tls/tracer/tracer.ts";
import type { ConnectOptions, TlsClientEngine, TlsConnection } from "../../../service/tls/tls.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { SmtpClientSettings } from "../settings.ts";
import * as events from "./events.ts";
import { lostFailure, type During, type Ended } from "./failures.ts";
import {
  beginOpening,
  duringOf,
  onOpeningInput,
  type Opening,
  type OpeningAction,
  type OpeningInput,
  type OpeningPlan,
  type Step,
} from "./opening.ts";
import { stopping, STOPPING } from "./places.ts";
import { closedFields, establishedFields, failedFields, type TlsSubject } from "./tls-lines.ts";
import { INJECTED, Wire, type WireListener } from "./wire.io.ts";

/** RFC 9266: of TLS 1.3, and the one that servers of today know. */
const BINDING = "tls-exporter";

export interface OpenParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: SmtpClientSettings;
  readonly tls: TlsClientEngine;
  /** Which handshakes are worth keeping in the journal; absent: none. */
  readonly flights?: FlightSampler | undefined;
}

/** How handshakes are made: everything but the deadline. */
export type HandshakeWish = Omit<ConnectOptions, "deadlineMs">;

export interface OpenSession {
  readonly session: string;
  readonly plan: OpeningPlan;
  /** Whom and what lines about TLS speak of. */
  readonly about: TlsSubject;
  /** Undefined only where the plan never encrypts. */
  readonly handshake: HandshakeWish | undefined;
  readonly credentials?: Credentials | undefined;
  readonly trace?: ConnectionTrace | undefined;
  /** Shows what is said; absent: nobody looks. */
  readonly dialogue?: DialogueTrace | undefined;
  /** Whoever calls what is in here ends the opening at once. */
  readonly cuts?: Set<Cut> | undefined;
}

/** `finding`: a handshake was tried and failed. */
export type Opened = { readonly finding: TlsFinding | undefined } & Result;

type Result =
  | {
      readonly is: "ready";
      readonly wire: Wire;
      readonly extensions: Extensions;
      readonly isEhloRefused: boolean;
      readonly tls: TlsFacts | undefined;
    }
  | {
      readonly is: "another";
      readonly tls: "never" | "implicit";
      readonly because: string;
      /** The host never greeted. */
      readonly isSilence?: boolean | undefined;
    }
  | { readonly is: "failed"; readonly failure: Failure; readonly scope: "address" | "host" | "relay" };

/** Obeys the opening machine over a connection until it is ready for mail, or not to be had. Never rejects. */
export function openSession(stream: Duplex, given: OpenSession, parts: OpenParts): Promise<Opened> {
  return new Promise((resolve) => new Opener(stream, given, parts, resolve));
}

class Opener {
  readonly #given: OpenSession;
  readonly #parts: OpenParts;
  readonly #settle: (opened: Opened) => void;
  readonly #wire: Wire;
  #opening: Opening;
  #sasl: SaslClient | undefined;
  #encrypted: TlsConnection | undefined;
  #finding: TlsFinding | undefined;
  /** The host has spoken under TLS. */
  #isHeardUnderTls = false;
  #isOver = false;
  readonly #cut: Cut = () => this.#end();

  constructor(stream: Duplex, given: OpenSession, parts: OpenParts, settle: (opened: Opened) => void) {
    this.#given = given;
    this.#parts = parts;
    this.#settle = settle;
    const listener: WireListener = {
      onReply: (reply) => {
        this.#isHeardUnderTls = this.#encrypted !== undefined;
        this.#input({ on: "reply", reply });
      },
      onEnded: (ended) => this.#onEnded(ended),
    };
    this.#wire = new Wire(parts.clock, stream, listener, given.dialogue);
    given.cuts?.add(this.#cut);
    const [opening, action] = beginOpening(given.plan);
    this.#opening = opening;
    this.#wire.deadline(this.#limitMs(duringOf(opening)), duringOf(opening));
    this.#perform(action);
  }

  #input(input: OpeningInput): void {
    if (this.#isOver) return;
    const step: Step = onOpeningInput(this.#opening, input);
    this.#opening = step[0];
    this.#perform(step[1]);
  }

  #perform(action: OpeningAction | undefined): void {
    if (action === undefined) {
      this.#wire.during = duringOf(this.#opening);
      this.#wire.deadline(this.#limitMs(duringOf(this.#opening)), duringOf(this.#opening));
      return;
    }
    switch (action.do) {
      case "send":
        this.#wire.during = action.during;
        this.#wire.deadline(this.#limitMs(action.during), `answer to ${action.during}`);
        this.#wire.write(action.text);
        return;
      case "startTls":
        void this.#startTls();
        return;
      case "beginAuth": {
        const { credentials } = this.#given;
        if (credentials === undefined) return;
        const value = this.#binding();
        const offersBound = authMechanisms(this.#opening.extensions).some((name) => name.endsWith("-PLUS"));
        this.#sasl = makeClient(action.mechanism, credentials, () => ({
          nonce: randomBytes(24).toString("base64url"),
          derive: scramPbkdf2,
          binding: value === undefined ? undefined : { kind: BINDING, value },
          couldBind: value !== undefined && !offersBound,
        }));
        this.#input({ on: "response", text: this.#sasl.initial?.toString("base64"), isFirst: true });
        return;
      }
      case "answerChallenge":
        void this.#answer(action.challenge);
        return;
      case "ready":
        this.#ready();
        return;
      case "fail":
        this.#leave({ is: "failed", failure: action.failure, scope: action.scope });
        return;
      case "another":
        this.#leave({ is: "another", tls: action.tls, because: action.because });
        return;
      default:
        return;
    }
  }

  async #startTls(): Promise<void> {
    const { settings, tls, emit, flights, clock } = this.#parts;
    const { about } = this.#given;
    const raw = this.#wire.detach();
    if (raw === undefined) {
      this.#wire.end(INJECTED);
      return;
    }
    const { handshake } = this.#given;
    if (handshake === undefined) {
      this.#wire.end({ reason: "other", text: "a handshake that nobody prepared" });
      return;
    }
    this.#wire.noDeadline();
    const shaken = await tls.connect(raw, {
      ...handshake,
      deadlineMs: settings.tlsTimeout,
      watch: this.#given.trace?.watch,
    });
    if (this.#isOver) {
      if (shaken.ok) shaken.connection.destroy();
      return;
    }
    if (!shaken.ok) {
      this.#finding = shaken.finding;
      emit(events.tlsFailed, failedFields(about, this.#bounded(shaken.finding), false));
      this.#input({ on: "handshake-failed", text: shaken.finding.sentence });
      return;
    }
    const { connection } = shaken;
    this.#encrypted = connection;
    const { verdict } = connection.facts;
    const isGood = verdict.result === "OK" || verdict.result === "DANE";
    const problem = isGood ? undefined : (verdict.problem?.text ?? "nobody looked at the certificate");
    const flight = flights?.flightOf(connection, about.address ?? about.host, clock.now());
    emit(events.tlsEstablished, establishedFields(about, connection.facts, flight));
    connection.onFinding((finding) => {
      emit(events.tlsFailed, failedFields(about, this.#bounded(finding), true));
      // RFC 8446 section 4.4.2.4: a server of TLS 1.3 judges our part of the handshake when for us it is done.
      if (!this.#isHeardUnderTls && connection.facts.version === "TLSv1.3") this.#finding = finding;
    });
    connection.onClosed((closing) => emit(events.tlsClosed, closedFields(about, closing, this.#wire.during)));
    // Not remembered of the host as a handshake that failed: another kind of handshake would show the same certificate.
    if (problem !== undefined && this.#given.plan.mustVerify) {
      const refused = refusedCertificate(connection.facts, connection.flight());
      emit(events.tlsFailed, failedFields(about, this.#bounded(refused), true));
    }
    this.#wire.encrypt(connection, settings.tlsCloseTimeout);
    this.#input({ on: "encrypted", problem, canBind: this.#binding() !== undefined });
  }

  /** What a login can be tied to: of TLS 1.3. In older versions nothing that is sure is known here. */
  #binding(): Buffer | undefined {
    return this.#encrypted === undefined ? undefined : channelBinding(BINDING, this.#encrypted);
  }

  #bounded(finding: TlsFinding): TlsFinding {
    const { flights, clock } = this.#parts;
    return flights?.bounded(finding, clock.now()) ?? { ...finding, flight: undefined };
  }

  async #answer(challenge: string): Promise<void> {
    const bytes = /^[A-Za-z0-9+/]*={0,2}$/.test(challenge.trim()) ? Buffer.from(challenge, "base64") : undefined;
    const response = bytes === undefined ? undefined : await this.#sasl?.respond(bytes);
    this.#input({
      on: "response",
      text: response?.ok === true ? response.value.toString("base64") : undefined,
      isFirst: false,
    });
  }

  #ready(): void {
    const { plan, session, credentials } = this.#given;
    if (this.#sasl !== undefined && credentials !== undefined) {
      if (!this.#sasl.isTrusted) {
        this.#input({ on: "untrusted" });
        return;
      }
      const { mechanism } = this.#sasl;
      const { protocol, host } = plan;
      this.#parts.emit(events.authenticated, { session, protocol, host, mechanism, user: credentials.user });
    }
    this.#setOver();
    this.#wire.noDeadline();
    const { extensions, isEhloRefused } = this.#opening;
    const tls = this.#encrypted?.facts;
    this.#settle({ is: "ready", wire: this.#wire, extensions, isEhloRefused, tls, finding: this.#finding });
  }

  /** Says goodbye where somebody may still listen, without making anybody wait for it. */
  #leave(result: Result): void {
    if (this.#isOver) return;
    this.#setOver();
    if (this.#wire.ended === undefined) {
      this.#wire.during = "QUIT";
      this.#wire.write("QUIT\r\n");
      void this.#wire.close(this.#parts.settings.quitTimeout);
    }
    this.#settle({ ...result, finding: this.#finding });
  }

  /** Without a goodbye: in the middle of a command or a handshake it would not be heard as one. */
  #end(): void {
    if (this.#isOver) return;
    this.#setOver();
    this.#wire.end({ reason: "closed", text: STOPPING });
    const { failure, scope } = stopping(this.#given.plan.host);
    this.#settle({ is: "failed", failure, scope, finding: this.#finding });
  }

  #setOver(): void {
    this.#isOver = true;
    this.#given.cuts?.delete(this.#cut);
  }

  #onEnded(ended: Ended): void {
    const { plan, about } = this.#given;
    if (this.#finding !== undefined) return this.#input({ on: "handshake-failed", text: this.#finding.sentence });
    if (ended === INJECTED) {
      const { emit, clock } = this.#parts;
      // Told, and not remembered of the host: nobody shall make us take it for one whose TLS is broken.
      const finding = knownFinding("injection", { role: "client", startedAt: clock.now() });
      emit(events.tlsFailed, failedFields(about, finding, false));
    }
    const failure = lostFailure(ended, duringOf(this.#opening), plan.host);
    const isSilence = ended.reason === "timeout" && duringOf(this.#opening) === "greeting";
    // A port for implicit TLS waits for us to speak first, and so never greets.
    if (isSilence && plan.tls === "starttls-or-implicit")
      this.#leave({ is: "another", tls: "implicit", because: ended.text, isSilence });
    else this.#leave({ is: "failed", failure, scope: "address" });
  }

  #limitMs(during: During): number {
    const { settings } = this.#parts;
    if (during !== "greeting") return settings.commandTimeout;
    return this.#given.plan.tls === "starttls-or-implicit"
      ? Math.min(settings.greetingTimeout, settings.connectTimeout)
      : settings.greetingTimeout;
  }
}
