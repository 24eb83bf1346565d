import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { assert } from "../../foundation/assert.ts";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { TwoWayClose, type Lingering } from "./close.io.ts";
import { Conduct, type Misconduct } from "./conduct.ts";
import type { Closing, TlsFacts, TlsRole } from "./facts.ts";
import type { TlsFinding } from "./finding/finding.ts";
import { FlightRecorder } from "./flight/flight-recorder.ts";
import type { Flight } from "./flight/flight.ts";
import { hearWrites } from "./hear-writes.io.ts";
import { Ledger, type RawEnding } from "./ledger.ts";
import { explain, type EvidenceContext, type RawEnd } from "./finding/reasons.ts";
import { Tap } from "./tap.io.ts";
import type { TlsConnection, WireWatch } from "./tls.ts";

/** A ClientHello is hardly ever a tenth of this; what is longer is for TLS to refuse. */
const MOST_HELLO_BYTES = 32 * 1024;
/** OpenSSL says nothing of bytes that are no TLS before it has as many. */
const RECORD_HEADER_BYTES = 5;
/** An alert of the peer that its TLS sends when we answer after its close_notify: no reason to call anything wrong. */
const MOST_BEHIND_CLOSE_BYTES = 64;

export interface LiveOptions {
  readonly role: TlsRole;
  readonly clock: Clock;
  readonly watch?: WireWatch | undefined;
  readonly lingering: Lingering;
}

/**
 * One connection from the first byte of its handshake to the end of TCP, whichever side we are. The two drivers
 * (`server.io.ts`, `client.io.ts`) make TLS over its `tap`, give it the socket and say when the handshake is done.
 */
export class LiveConnection implements TlsConnection {
  readonly role: TlsRole;
  readonly tap: Tap;
  readonly recorder: FlightRecorder;
  readonly #watch: WireWatch | undefined;
  readonly #ledger = new Ledger();
  readonly #conduct: Conduct;
  readonly #closing: TwoWayClose;
  #socket: TLSSocket | undefined;
  #facts: TlsFacts | undefined;
  #isClosed = false;
  #behindClose = 0;
  #onFailed: ((end: RawEnd, error?: unknown) => void) | undefined;
  #onFinding: ((finding: TlsFinding) => void)[] = [];
  #finding: TlsFinding | undefined;
  #onClosed: ((closing: Closing) => void)[] = [];

  constructor(raw: Duplex, options: LiveOptions) {
    const { role, clock, watch, lingering } = options;
    this.role = role;
    this.#watch = watch;
    this.recorder = new FlightRecorder({ role, clock, watch });
    this.#conduct = new Conduct(role);
    this.tap = new Tap({
      raw,
      clock,
      recorder: this.recorder,
      listener: {
        pieces: (chunk) => this.#conduct.pieces(chunk),
        isPeerDone: () => this.#ledger.peer === "close_notify",
        onGiven: () => this.#onGiven(),
        onBehindClose: (piece) => this.#onBehindClose(piece),
        onRawEnd: (how, because) => this.#onRawEnd(how, because),
        onOurEnd: () => this.#ledger.closeNotifySent(),
        onOurFin: () => this.#ledger.finSent(),
        onClosed: () => this.#onTransportClosed(),
      },
    });
    this.#closing = new TwoWayClose({ tap: this.tap, ledger: this.#ledger, clock, lingering });
  }

  get socket(): TLSSocket {
    assert(this.#socket !== undefined, "a connection has a socket once its handshake is done");
    return this.#socket;
  }

  get facts(): TlsFacts {
    assert(this.#facts !== undefined, "a connection has facts once its handshake is done");
    return this.#facts;
  }

  closing(): Closing {
    return this.#ledger.closing();
  }

  close(deadlineMs: number): Promise<Closing> {
    return this.#closing.begin(this.socket, deadlineMs, () => this.destroy());
  }

  destroy(): void {
    this.#ledger.cut();
    // First of all: what is destroyed from above would still send what it holds.
    this.tap.abort();
    this.#socket?.destroy();
    this.#settleEnd();
  }

  /** Our end has been said, or is being said. */
  get isClosing(): boolean {
    return this.#closing.hasBegun;
  }

  flight(): Flight {
    return this.recorder.flight();
  }

  onFinding(tell: (finding: TlsFinding) => void): void {
    if (this.#finding === undefined) this.#onFinding.push(tell);
    else tell(this.#finding);
  }

  onClosed(tell: (closing: Closing) => void): void {
    if (this.#isClosed) tell(this.closing());
    else this.#onClosed.push(tell);
  }

  // For the drivers.

  /** As a server: told once, when the ClientHello is there, or it is clear that none will be. */
  onceHello(tell: () => void): void {
    const { recorder } = this;
    this.tap.readAhead(() => {
      const { bytes } = recorder.counts("in");
      const isClear = recorder.isWithoutHello && bytes >= RECORD_HEADER_BYTES;
      return recorder.hello !== undefined || isClear || this.isShortLine || bytes > MOST_HELLO_BYTES;
    }, tell);
  }

  /** As a server: a line came that is no TLS and too short for OpenSSL to say so: it would wait for the rest of a record. */
  get isShortLine(): boolean {
    const { recorder } = this;
    return recorder.isForeignLine && recorder.counts("in").bytes < RECORD_HEADER_BYTES;
  }

  /** Until the handshake is done: told once that it failed. */
  onHandshakeFailed(tell: (end: RawEnd, error?: unknown) => void): void {
    this.#onFailed = tell;
  }

  /** As early as there is a TLS socket, before it reads on. Errors after this never reach anybody as an exception. */
  attach(socket: TLSSocket): void {
    this.#socket = socket;
    const push = socket.push.bind(socket);
    // Node ends the decrypted stream by `push(null)`, and in the same way hands over data.
    socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
      if (chunk === null) this.#ledger.decryptedEnded();
      else {
        this.#conduct.decrypted();
        if (chunk instanceof Uint8Array) this.#watch?.decrypted?.("in", chunk);
      }
      const goesOn = push(chunk, encoding);
      if (chunk === null) {
        // A close_notify before the handshake is done: it never will be.
        if (this.#facts === undefined) this.#fail(this.#rawEnd("error"));
        this.#peerEnded();
      }
      return goesOn;
    };
    const hear = this.#watch?.decrypted;
    if (hear !== undefined) hearWrites(socket, (bytes) => hear("out", bytes));
    socket.on("error", (error) => this.failed(error));
    socket.on("close", () => this.#settleEnd());
  }

  /** TLS has given up, in the handshake or later. */
  failed(error: unknown): void {
    // Node's own words for an end of the transport; that one is told by the tap, with the truth about it.
    const isTransport = systemCodeOf(error) === "ECONNRESET";
    if (this.#facts === undefined) {
      this.#fail(isTransport ? this.#rawEnd("local") : "error", error);
      return;
    }
    // Our own side wrote to what it had ended: no fault of anybody else.
    if (systemCodeOf(error)?.startsWith("ERR_STREAM_") === true) return this.destroy();
    // Node's answer to our own cutting.
    if (this.closing().we === "cut" || (isTransport && this.#ledger.peer !== "open")) return;
    const finding = this.#explain(undefined, error);
    // Before anybody hears of it: who does will cut the connection, and its end is told then.
    this.#ledger.failed((finding ?? this.#finding)?.evidence ?? messageOf(error));
    if (finding !== undefined) this.#tell(finding);
    this.#socket?.destroy();
    this.tap.destroy();
    this.#settleEnd();
  }

  established(facts: TlsFacts): void {
    this.#facts = facts;
    this.#onFailed = undefined;
    this.#conduct.established(facts.version);
    this.recorder.handshakeDone();
  }

  /** Ends the handshake: the finding, and the connection is over. */
  explainFailure(end: RawEnd, error: unknown, context: EvidenceContext): TlsFinding {
    const { role, recorder } = this;
    if (end === "timeout") recorder.note("out", "timeout");
    const afterMs = recorder.elapsedMs;
    const finding = explain({ role, flight: recorder.flight(), error, end, phase: "handshake", afterMs, context });
    this.#onFailed = undefined;
    if (end !== "error") this.tap.abort();
    // Otherwise the alert that says why is on its way to the peer, and still goes out.
    this.tap.destroy();
    this.#socket?.destroy();
    return finding;
  }

  #fail(end: RawEnd, error?: unknown): void {
    const tell = this.#onFailed;
    this.#onFailed = undefined;
    tell?.(end, error);
  }

  #rawEnd(otherwise: RawEnd): RawEnd {
    const { rawEnd } = this.tap;
    if (rawEnd === undefined) return otherwise;
    if (rawEnd === "fin") return this.recorder.isMidRecord("in") ? "fin-mid-record" : "fin";
    return rawEnd === "reset" ? "rst" : "error";
  }

  #onGiven(): void {
    const reason = this.#conduct.judge();
    if (reason !== undefined) this.#cutFor(reason);
  }

  #onBehindClose(piece: Buffer): void {
    this.#behindClose += piece.length;
    const mayBeAlert = this.#behindClose <= MOST_BEHIND_CLOSE_BYTES && (piece[0] === 21 || piece[0] === 23);
    if (!mayBeAlert) this.#cutFor("data-after-close");
  }

  #onRawEnd(how: RawEnding, because: string | undefined): void {
    const isMidRecord = this.recorder.isMidRecord("in");
    this.#ledger.rawEnded(how, isMidRecord, because);
    if (this.#facts === undefined) this.#fail(this.#rawEnd("local"));
    this.#peerEnded();
  }

  #peerEnded(): void {
    this.#closing.peerEnded();
    this.#settleEnd();
  }

  #cutFor(reason: Misconduct | "data-after-close"): void {
    if (this.#finding !== undefined) return;
    const finding = this.#facts === undefined ? undefined : this.#explain({ known: reason });
    if (finding !== undefined) this.#tell(finding);
    this.destroy();
  }

  /** What went wrong after the handshake; undefined when something else did before. */
  #explain(context: EvidenceContext | undefined, error?: unknown): TlsFinding | undefined {
    if (this.#finding !== undefined) return undefined;
    const { role, recorder } = this;
    return explain({
      role,
      flight: recorder.flight(),
      error,
      end: context?.known === undefined ? "error" : "local",
      phase: this.#closing.hasBegun || this.#ledger.peer === "close_notify" ? "closing" : "open",
      afterMs: recorder.elapsedMs,
      context,
    });
  }

  #tell(finding: TlsFinding): void {
    this.#finding = finding;
    for (const tell of this.#onFinding.splice(0)) tell(finding);
  }

  #onTransportClosed(): void {
    // Closed, and the peer did not end it: by us, whoever of us it was.
    if (this.tap.rawEnd === undefined) this.#ledger.cut();
    if (this.#facts === undefined) this.#fail(this.#rawEnd("local"));
    this.#settleEnd();
  }

  /** The end is told when TCP is closed and no byte is left that could say more about how. */
  #settleEnd(): void {
    if (this.#isClosed || !this.tap.isRawClosed) return;
    const isKnown = this.#ledger.peer !== "open" || this.tap.destroyed || this.#socket?.destroyed === true;
    if (!isKnown) return;
    this.#isClosed = true;
    this.#closing.over();
    const closing = this.closing();
    for (const tell of this.#onClosed.splice(0)) tell(closing);
  }
}
