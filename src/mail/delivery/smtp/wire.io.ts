import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { holdWriteErrors } from "../../../foundation/hold-write-errors.ts";
import { MovingTimer } from "../../../foundation/moving-timer.ts";
import { ReplyParser } from "../../../protocol/smtp/reply-parser.ts";
import type { DialogueTrace } from "../../../protocol/smtp/dialogue-trace.ts";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { Closing } from "../../../service/tls/facts.ts";
import type { TlsConnection } from "../../../service/tls/tls.ts";
import type { Ended } from "./failures.ts";
import type { Standing } from "./tls-lines.ts";

export interface WireListener {
  onReply(reply: Reply): void;
  /** Once at most, and nothing after it. */
  onEnded(ended: Ended): void;
}

/** The end of a connection on which somebody spoke between the answer to STARTTLS and TLS. */
export const INJECTED: Ended = { reason: "protocol", text: "bytes behind the answer to STARTTLS" };

/** After a write failed: how long what the peer said before may take to be read. */
const LAST_WORDS_MS = 2000;
/** A record of TLS (RFC 8446 section 5.1) and a little. */
const MOST_TOLD_LATE_BYTES = 17 * 1024;

/**
 * One connection as the client's machines see it: replies come in, bytes go out, there is one deadline at a time, and one
 * end. What the peer said before it went away is delivered before the end is told, also when our own writing noticed the
 * end first.
 */
export class Wire {
  /** Where the dialogue stands: what its end would mean. Whoever drives the dialogue says it. */
  during: Standing = "greeting";
  readonly #clock: Clock;
  #stream: Duplex;
  #parser = new ReplyParser();
  #listener: WireListener;
  #ended: Ended | undefined;
  readonly #deadline: MovingTimer;
  readonly #total: MovingTimer;
  #overdue: { readonly limitMs: number; readonly what: string } | undefined;
  #lastWords: Timer | undefined;
  #onDrain: (() => void) | undefined;
  #isDetached = false;
  #tls: { readonly connection: TlsConnection; readonly closeMs: number } | undefined;
  readonly #dialogue: DialogueTrace | undefined;

  constructor(clock: Clock, stream: Duplex, listener: WireListener, dialogue?: DialogueTrace) {
    this.#clock = clock;
    this.#deadline = new MovingTimer(clock, () => {
      const { limitMs, what } = this.#overdue ?? { limitMs: 0, what: "answer" };
      this.end({ reason: "timeout", text: `no ${what} within ${limitMs} ms` });
    });
    this.#total = new MovingTimer(clock, () => this.end({ reason: "timeout", text: "the transaction took too long" }));
    this.#dialogue = dialogue;
    this.#stream = stream;
    this.#listener = listener;
    this.#attach();
  }

  get ended(): Ended | undefined {
    return this.#ended;
  }

  get listener(): WireListener {
    return this.#listener;
  }

  set listener(listener: WireListener) {
    this.#listener = listener;
  }

  /** The stream for a TLS handshake; nothing may have come behind the answer to STARTTLS (RFC 3207 section 6). */
  detach(): Duplex | undefined {
    if (!this.#parser.isIdle || this.#stream.readableLength > 0) return undefined;
    this.#isDetached = true;
    this.#stream.removeAllListeners("data");
    this.#stream.removeAllListeners("end");
    this.#stream.removeAllListeners("close");
    return this.#stream;
  }

  /** Goes on over TLS, whose end may take `closeMs` after ours; nobody waits for it. */
  encrypt(connection: TlsConnection, closeMs: number): void {
    this.#tls = { connection, closeMs };
    this.#stream = connection.socket;
    this.#parser = new ReplyParser();
    this.#isDetached = false;
    this.#dialogue?.note("TLS from here on");
    connection.onFinding((finding) => this.end({ reason: "other", text: finding.sentence }));
    this.#attach();
    // An end that came with the last of the handshake was told before anybody listened.
    if (this.#stream.readableEnded) this.#onEnd();
    else if (this.#stream.destroyed) this.end({ reason: "closed", text: "the connection is closed" });
  }

  /** What must happen within `limitMs`; replaces the deadline before it. */
  deadline(limitMs: number, what: string): void {
    if (this.#ended !== undefined) return;
    this.#overdue = { limitMs, what };
    this.#deadline.set(limitMs);
  }

  noDeadline(): void {
    this.#deadline.clear();
  }

  /** Beside the deadline of each answer, one for all of a transaction; undefined: it is over. */
  transactionDeadline(limitMs: number | undefined): void {
    if (limitMs === undefined) this.#total.clear();
    else if (this.#ended === undefined) this.#total.set(limitMs);
  }

  #stopTimers(): void {
    this.#deadline.stop();
    this.#total.stop();
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  /** Commands, and what answers challenges. */
  write(text: string): void {
    if (this.#ended !== undefined || text.length === 0) return;
    this.#dialogue?.client(text);
    this.#stream.write(text);
  }

  writeContent(bytes: Uint8Array): void {
    if (this.#ended !== undefined || bytes.length === 0) return;
    this.#dialogue?.content(bytes.length);
    this.#stream.write(bytes);
  }

  get isFull(): boolean {
    return this.#ended === undefined && this.#stream.writableNeedDrain;
  }

  /**
   * Bytes that have not even reached the kernel: no answer can be an answer to them. Under TLS those that have are told of some
   * turns of the event loop later.
   */
  get hasUnsent(): boolean {
    return this.#stream.writableLength > 0;
  }

  /**
   * The same where the connection has ended, and nobody can wait for what is told late: under TLS a last piece that is not told
   * of as sent may well have been.
   */
  get hasMuchUnsent(): boolean {
    return this.#stream.writableLength > (this.#tls === undefined ? 0 : MOST_TOLD_LATE_BYTES);
  }

  /** Settles when there is room again, or the connection has ended. One waits at a time. */
  drained(): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrain = resolve;
    });
  }

  /** Cuts the connection and tells so: what has not been sent never will be. */
  end(ended: Ended): void {
    if (this.#ended !== undefined) return;
    this.#tell(ended, () => (this.#tls === undefined ? this.#stream.destroy() : this.#tls.connection.destroy()));
  }

  /**
   * Ends in good order; never fails. In plaintext ours first, then the peer's, at most `limitMs`. The end of TLS is not
   * waited for: it settles at once.
   */
  close(limitMs: number): Promise<void> {
    const stream = this.#stream;
    this.#stopTimers();
    if (this.#ended === undefined) this.#dialogue?.note("we close the connection");
    this.#ended ??= { reason: "closed", text: "we left" };
    this.#wake();
    if (this.#tls !== undefined) {
      void this.#tls.connection.close(this.#tls.closeMs);
      return Promise.resolve();
    }
    if (stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(limitMs, () => stream.destroy());
      stream.once("close", () => {
        timer.cancel();
        resolve();
      });
      stream.once("end", () => stream.destroy());
      stream.end();
      stream.resume();
    });
  }

  #attach(): void {
    const stream = this.#stream;
    holdWriteErrors(stream, (error) => this.#onWriteError(error));
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    stream.on("end", () => this.#onEnd());
    stream.on("error", (error) => {
      if (!this.#isDetached && this.#stream === stream) this.end(endedBy(error));
    });
    stream.on("close", () => this.end({ reason: "closed", text: "the connection is closed" }));
    stream.on("drain", () => this.#wake());
  }

  /** The peer's end. Under TLS it gets our close_notify for its own, unless something of ours is unsent for ever. */
  #onEnd(): void {
    if (this.#ended !== undefined) return;
    const tls = this.#tls;
    if (tls === undefined) return this.end({ reason: "closed", text: "the peer closed the connection" });
    const ended = endedIn(tls.connection.closing());
    if (this.hasUnsent) return this.end(ended);
    return this.#tell(ended, () => void tls.connection.close(tls.closeMs));
  }

  #tell(ended: Ended, finish: () => void): void {
    this.#ended = ended;
    this.#dialogue?.note(`ended during ${this.during}: ${ended.text}`);
    this.#stopTimers();
    this.#lastWords?.cancel();
    finish();
    this.#wake();
    this.#listener.onEnded(ended);
  }

  #wake(): void {
    const wake = this.#onDrain;
    this.#onDrain = undefined;
    wake?.();
  }

  #onData(chunk: Buffer): void {
    if (this.#ended !== undefined) return;
    for (const event of this.#parser.push(chunk)) {
      if (this.#ended !== undefined) return;
      if (event.kind === "broken") {
        this.end({ reason: "protocol", text: `not an SMTP reply: ${event.text}` });
        return;
      }
      if (this.#isDetached) {
        this.end(INJECTED);
        return;
      }
      this.#dialogue?.server(event.reply);
      this.#listener.onReply(event.reply);
    }
  }

  #onWriteError(error: Error): void {
    if (this.#ended !== undefined || this.#lastWords !== undefined) return;
    // Reading goes on: a refusal may be waiting there, sent before the peer closed.
    this.#lastWords = this.#clock.after(LAST_WORDS_MS, () => this.end(endedBy(error)));
    this.#wake();
  }
}

function endedIn({ peer, because }: Closing): Ended {
  const text = because === undefined ? ENDS[peer] : `${ENDS[peer]}: ${because}`;
  return { reason: peer === "reset" ? "reset" : peer === "error" ? "other" : "closed", text };
}

const ENDS: Readonly<Record<Closing["peer"], string>> = {
  open: "the connection is closed",
  close_notify: "the peer closed the connection",
  truncated: "the peer closed the connection without a close_notify",
  "truncated-mid-record": "the peer closed the connection in the middle of a TLS record",
  reset: "Connection reset by peer",
  "no-answer": "the connection is closed",
  error: "the connection failed",
  unknown: "the peer closed the connection",
};

function endedBy(error: Error): Ended {
  const code = systemCodeOf(error);
  if (code === "ECONNRESET" || code === "EPIPE") return { reason: "reset", text: messageOf(error) };
  if (code === "ETIMEDOUT") return { reason: "timeout", text: messageOf(error) };
  return { reason: "other", text: messageOf(error) };
}
