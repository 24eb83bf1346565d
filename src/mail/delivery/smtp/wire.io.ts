import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { ReplyParser } from "../../../protocol/smtp/reply-parser.ts";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { Ended } from "./failures.ts";

export interface WireListener {
  onReply(reply: Reply): void;
  /** Once at most, and nothing after it. */
  onEnded(ended: Ended): void;
}

/** After a write failed: how long what the peer said before may take to be read. */
const LAST_WORDS_MS = 2000;

/**
 * One connection as the client's machines see it: replies come in, bytes go out, there is one deadline at a time, and one
 * end. What the peer said before it went away is delivered before the end is told, also when our own writing noticed the
 * end first.
 */
export class Wire {
  readonly #clock: Clock;
  #stream: Duplex;
  #parser = new ReplyParser();
  #listener: WireListener;
  #ended: Ended | undefined;
  #deadline: Timer | undefined;
  #lastWords: Timer | undefined;
  #onDrain: (() => void) | undefined;
  #isDetached = false;

  constructor(clock: Clock, stream: Duplex, listener: WireListener) {
    this.#clock = clock;
    this.#stream = stream;
    this.#listener = listener;
    this.#attach();
  }

  get ended(): Ended | undefined {
    return this.#ended;
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

  /** Goes on over the encrypted stream. */
  replace(stream: Duplex): void {
    // The raw stream may still fail beneath; the encrypted one tells about it.
    this.#stream.removeAllListeners("error");
    this.#stream.on("error", () => {});
    this.#stream = stream;
    this.#parser = new ReplyParser();
    this.#isDetached = false;
    this.#attach();
  }

  /** What must happen within `limitMs`; replaces the deadline before it. */
  deadline(limitMs: number, what: string): void {
    this.#deadline?.cancel();
    if (this.#ended !== undefined) return;
    this.#deadline = this.#clock.after(limitMs, () =>
      this.end({ reason: "timeout", text: `no ${what} within ${limitMs} ms` }),
    );
  }

  noDeadline(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  write(bytes: string | Uint8Array): void {
    if (this.#ended === undefined && bytes.length > 0) this.#stream.write(bytes);
  }

  get isFull(): boolean {
    return this.#ended === undefined && this.#stream.writableNeedDrain;
  }

  /** Bytes that have not even reached the kernel: no answer can be an answer to them. */
  get hasUnsent(): boolean {
    return this.#stream.writableLength > 0;
  }

  /** Settles when there is room again, or the connection has ended. One waits at a time. */
  drained(): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrain = resolve;
    });
  }

  /** Cuts the connection and tells so. */
  end(ended: Ended): void {
    if (this.#ended !== undefined) return;
    this.#ended = ended;
    this.noDeadline();
    this.#lastWords?.cancel();
    this.#stream.destroy();
    this.#wake();
    this.#listener.onEnded(ended);
  }

  /** Ends in good order: ours first, then the peer's, at most `limitMs`; never fails. */
  close(limitMs: number): Promise<void> {
    const stream = this.#stream;
    this.noDeadline();
    this.#ended ??= { reason: "closed", text: "we left" };
    this.#wake();
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
    stream.on("end", () => this.end({ reason: "closed", text: "the peer closed the connection" }));
    stream.on("error", (error) => {
      if (!this.#isDetached) this.end(endedBy(error));
    });
    stream.on("close", () => this.end({ reason: "closed", text: "the connection is closed" }));
    stream.on("drain", () => this.#wake());
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
        this.end({ reason: "protocol", text: "bytes behind the answer to STARTTLS" });
        return;
      }
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

function endedBy(error: Error): Ended {
  const code = systemCodeOf(error);
  if (code === "ECONNRESET" || code === "EPIPE") return { reason: "reset", text: messageOf(error) };
  if (code === "ETIMEDOUT") return { reason: "timeout", text: messageOf(error) };
  return { reason: "other", text: messageOf(error) };
}

type WriteDone = (error?: Error | null) => void;

/**
 * A failed write makes Node destroy the stream at once, with whatever the kernel holds unread: the `421` or `552` that
 * explains the hang-up would be lost. `_write` and `_writev` are the documented places where a stream's writing is
 * defined; here they keep the error to themselves, and the reading side goes on to its own end.
 */
function holdWriteErrors(stream: Duplex, onError: (error: Error) => void): void {
  const hold =
    (done: WriteDone): WriteDone =>
    (error) => {
      if (error === undefined || error === null) done();
      else onError(error);
    };
  const write = stream._write.bind(stream);
  stream._write = (chunk, encoding, done) => write(chunk, encoding, hold(done));
  const writev = stream._writev?.bind(stream);
  if (writev !== undefined && stream._writev !== null) stream._writev = (chunks, done) => writev(chunks, hold(done));
}
