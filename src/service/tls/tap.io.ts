import { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { holdWriteErrors } from "../../foundation/hold-write-errors.ts";
import type { FlightRecorder } from "./flight/flight-recorder.ts";
import type { RawEnding } from "./ledger.ts";

/**
 * Stands between the raw stream and TLS: sees every byte, and keeps the raw end from TLS until TLS has used up all that
 * came before it. So a close_notify and a bare FIN, the same to TLS's user, are told apart.
 *
 * A peer that answers at the wrong moment (a key update while our own end is under way) can make TLS write while Node's
 * adapter for such streams waits for the end of the write side; the adapter asserts that this never happens, and the
 * process would die by a few bytes from outside. Three rules keep it from happening (`test/tls/endurance/hostile.ts` tries):
 *
 * 1. `end` is acknowledged in the same call and ends nothing: the FIN is ours to send, later. Writes after it are taken.
 * 2. Bytes reach TLS only from the top of the event loop, never from a microtask: between the adapter's wish to end and
 *    our acknowledgement, which is one such task later, nothing comes in.
 * 3. Nothing empty is ever written before the handshake is over (`server.io.ts`, `client.io.ts` write nothing at all).
 */
export class Tap extends Duplex {
  readonly #raw: Duplex;
  readonly #clock: Clock;
  readonly #recorder: FlightRecorder;
  readonly #listener: TapListener;
  /** Read from the raw stream, not yet given to TLS. Bounded by what the raw stream reads before it pauses. */
  #waiting: Buffer[] = [];
  #end: RawEnd | undefined;
  #isEofShown = false;
  #isPumpDue = false;
  /** The raw stream was just told to go on: what it held comes from a microtask. */
  #isResuming = true;
  /** Reads come straight from the event loop; other streams may push at any time. */
  readonly #isSocket: boolean;
  #writeError: Error | undefined;
  #release: (() => void) | undefined;
  #isEndWanted = false;
  #isFinAllowed = false;
  #isFinSent = false;
  #drain: Timer | undefined;
  #ahead: { readonly isEnough: () => boolean; readonly tell: () => void } | undefined;

  constructor(options: { raw: Duplex; clock: Clock; recorder: FlightRecorder; listener: TapListener }) {
    super({ allowHalfOpen: true, autoDestroy: false });
    const { raw, clock, recorder, listener } = options;
    this.#raw = raw;
    this.#clock = clock;
    this.#recorder = recorder;
    this.#listener = listener;
    this.#isSocket = raw instanceof Socket;
    raw.allowHalfOpen = true;
    holdWriteErrors(raw, (error) => this.#onWriteError(error));
    raw.on("data", this.#onData);
    raw.on("end", () => this.#onEnd());
    raw.on("error", (error) => this.#onError(error));
    raw.on("close", () => this.#onClose());
    this.on("resume", () => this.#pumpSoon());
    this.on("error", () => {});
    if (raw.readableEnded) this.#onEnd();
    if (raw.destroyed) this.#ended({ how: "error", because: "the connection was closed already" });
    this.#pumpSoon();
  }

  /** How the raw stream ended, also before TLS has been shown it. */
  get rawEnd(): RawEnding | undefined {
    return this.#end?.how;
  }

  get isRawClosed(): boolean {
    return this.#raw.destroyed;
  }

  /** The FIN may go as soon as TLS has ended its side. */
  allowFin(): void {
    this.#isFinAllowed = true;
    this.#sendFin();
  }

  /**
   * Reads on before there is any TLS to give to, until `isEnough` says so after a piece, or the raw stream ends: then `tell`
   * is called, once. `isEnough` bounds what is kept meanwhile.
   */
  readAhead(isEnough: () => boolean, tell: () => void): void {
    this.#ahead = { isEnough, tell };
    this.#lookAhead();
  }

  #lookAhead(): void {
    const ahead = this.#ahead;
    if (ahead === undefined) return;
    if (this.#end === undefined && !this.destroyed && !this.#raw.destroyed && !ahead.isEnough()) {
      this.#raw.resume();
      return;
    }
    this.#ahead = undefined;
    ahead.tell();
  }

  /** Closes the raw stream once it has sent what it holds. */
  #drainRaw(): void {
    const raw = this.#raw;
    if (raw.destroyed) return;
    if (this.#writeError !== undefined) return void raw.destroy();
    this.#drain ??= this.#clock.after(DRAIN_MS, () => raw.destroy());
    raw.off("data", this.#onData);
    raw.resume();
    raw.end(() => raw.destroy());
    return undefined;
  }

  /** At once. */
  abort(): void {
    this.#raw.destroy();
    this.destroy();
  }

  // From the raw stream to TLS.

  readonly #onData = (chunk: Buffer): void => {
    this.#recorder.feed("in", chunk);
    if (this.destroyed) return;
    const isTopOfLoop = this.#isSocket && !this.#isResuming;
    if (isTopOfLoop && this.#waiting.length === 0 && this.readableFlowing === true) return this.#give(chunk);
    this.#waiting.push(chunk);
    this.#raw.pause();
    if (this.#ahead === undefined) this.#pumpSoon();
    else this.#lookAhead();
  };

  override _read(): void {
    // What there is has been pushed, or is pushed once TLS goes on (`resume`).
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      this.#isResuming = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.readableFlowing === true && !this.destroyed) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) break;
      this.#give(chunk);
    }
    if (this.destroyed || this.readableFlowing !== true || this.#waiting.length > 0) return;
    if (this.#end !== undefined) return this.#showEof(this.#end);
    if (!this.#raw.isPaused() && this.#raw.readableFlowing === true) return undefined;
    this.#isResuming = true;
    this.#raw.resume();
    // Whether it held something or not, the next turn of the loop is past its microtask.
    this.#pumpSoon();
  }

  #give(chunk: Buffer): void {
    for (const piece of this.#listener.pieces(chunk)) {
      if (this.destroyed) return;
      // RFC 8446 section 6.1: what follows a close_notify is ignored.
      if (this.#listener.isPeerDone()) this.#listener.onBehindClose(piece);
      else {
        this.push(piece);
        this.#listener.onGiven();
      }
    }
    // TLS asked for a pause in the middle: the raw stream is not read further.
    if (this.readableFlowing !== true) this.#raw.pause();
  }

  #onEnd(): void {
    const code = systemCodeOf(this.#writeError);
    // A reset that a write met first: reading then only sees an end. EPIPE instead says that a FIN had come before.
    if (code === "ECONNRESET") this.#ended({ how: "reset" });
    else if (this.#writeError !== undefined && code !== "EPIPE")
      this.#ended({ how: "error", because: messageOf(this.#writeError) });
    else this.#ended({ how: "fin" });
  }

  #onError(error: Error): void {
    const code = systemCodeOf(error);
    this.#ended(
      code === "ECONNRESET" || code === "EPIPE" ? { how: "reset" } : { how: "error", because: messageOf(error) },
    );
  }

  #ended(end: RawEnd): void {
    if (this.#end !== undefined) return;
    // What was read before a reset and not taken from the stream yet is still there.
    const rest: unknown = end.how === "fin" ? null : this.#raw.read();
    if (rest instanceof Buffer) {
      this.#recorder.feed("in", rest);
      this.#waiting.push(rest);
    }
    this.#end = end;
    this.#recorder.note("in", end.how === "fin" ? "FIN" : end.how === "reset" ? "RST" : "error", end.because);
    this.#releaseWrite();
    this.#lookAhead();
    this.#pumpSoon();
  }

  #showEof(end: RawEnd): void {
    if (this.#isEofShown) return;
    this.#isEofShown = true;
    this.#listener.onRawEnd(end.how, end.because);
    if (!this.destroyed) this.push(null);
  }

  #onClose(): void {
    this.#drain?.cancel();
    this.#releaseWrite();
    // Without an end of the peer's it was closed by us: there is nobody left to show anything to.
    if (this.#end === undefined) this.destroy();
    this.#listener.onClosed();
  }

  // From TLS to the raw stream.

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#release = done;
    this.#send(chunk);
  }

  /** In one go to the kernel, as TLS meant it. */
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    const last = chunks.length - 1;
    this.#release = done;
    this.#raw.cork();
    for (const [index, { chunk }] of chunks.entries()) this.#send(chunk, index === last);
    this.#raw.uncork();
  }

  /** Done is what the kernel has taken. What can no longer be sent is dropped: the reading side tells why. */
  #send(chunk: Buffer, isLast = true): void {
    if (this.#isFinSent || this.#writeError !== undefined || this.#raw.destroyed) {
      if (isLast) this.#releaseWrite();
      return;
    }
    this.#recorder.feed("out", chunk);
    if (isLast) this.#raw.write(chunk, () => this.#releaseWrite());
    else this.#raw.write(chunk);
  }

  #releaseWrite(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  #onWriteError(error: Error): void {
    if (this.#writeError !== undefined) return;
    this.#writeError = error;
    this.#releaseWrite();
    if (this.#end !== undefined) this.#raw.destroy();
    // Last words may wait to be read; but not for ever, when nothing tells of the end.
    else this.#drain ??= this.#clock.after(DRAIN_MS, () => this.#raw.destroy(error));
  }

  /** TLS has said its close_notify. See the first rule. */
  override end(...given: readonly unknown[]): this {
    if (!this.#isEndWanted) {
      this.#isEndWanted = true;
      if (this.#writeError === undefined && !this.#raw.destroyed) this.#listener.onOurEnd();
    }
    this.#sendFin();
    const acknowledge = given.find((one) => typeof one === "function");
    acknowledge?.();
    return this;
  }

  #sendFin(): void {
    if (!this.#isFinAllowed || !this.#isEndWanted || this.#isFinSent || this.#raw.destroyed) return;
    this.#isFinSent = true;
    if (this.#writeError !== undefined) return void this.#raw.destroy();
    this.#recorder.note("out", "FIN");
    this.#listener.onOurFin();
    this.#raw.end();
    return undefined;
  }

  /** TLS is done with us: what is still to be sent is sent, without waiting for the peer. */
  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = [];
    // A close_notify or an alert may still be on its way out.
    if (this.#isEndWanted || this.#raw.writableLength > 0) {
      this.allowFin();
      this.#drainRaw();
    } else this.#raw.destroy();
    this.#releaseWrite();
    done();
  }
}

interface RawEnd {
  readonly how: RawEnding;
  readonly because?: string | undefined;
}

/** How long bytes on their way out may take after everything else is over. */
const DRAIN_MS = 3000;

export interface TapListener {
  pieces(chunk: Buffer): Iterable<Buffer>;
  /** The peer's close_notify has been seen. */
  isPeerDone(): boolean;
  /** TLS has used up a piece. */
  onGiven(): void;
  onBehindClose(piece: Buffer): void;
  /** TLS is about to be shown the raw end, and has used up all before it. */
  onRawEnd(how: RawEnding, because: string | undefined): void;
  /** Our close_notify is on its way; the FIN has been handed over. */
  onOurEnd(): void;
  onOurFin(): void;
  /** The raw stream is closed. */
  onClosed(): void;
}
