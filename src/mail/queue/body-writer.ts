import type { Readable } from "node:stream";
import { assert } from "../../foundation/assert.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { BodyFiles, NewBodyFile } from "./body-files.ts";
import type { BodyWriter } from "./queue.ts";
import type { Body } from "./store.ts";

/** Most mail comes in one piece and gets just its room; a body that grows has this at least, and doubles from there. */
const GROWING_BYTES = 4096;
/** Beyond the inline limit content goes to the file in portions of this size. */
const PORTION_BYTES = 128 * 1024;

/**
 * One message's content during reception: in memory up to `inlineUpTo` bytes, then in a body file. Memory is bounded
 * by the larger of `inlineUpTo` and a portion, as long as the caller waits for the promises of `write`.
 */
export function bodyWriter(
  message: MessageId,
  inlineUpTo: number,
  files: Pick<BodyFiles, "create" | "open">,
  version = 1,
): BodyWriter {
  return new MessageBodyWriter(message, inlineUpTo, files, version);
}

class MessageBodyWriter implements BodyWriter {
  readonly #message: MessageId;
  readonly #inlineUpTo: number;
  readonly #files: Pick<BodyFiles, "create" | "open">;
  readonly #version: number;
  #buffer = NO_BYTES;
  #filled = 0;
  #sizeBytes = 0;
  #file: NewBodyFile | undefined;
  /** Set with the file's first write: from then on all goes there. */
  #isSpilling = false;
  #state: "open" | "settled" | "finishing" | "finished" | "aborted" = "open";
  /** The step under way; steps never overlap, or one would forget what another has yet to write. */
  #step: Promise<void> | undefined;
  #isStepping = false;

  constructor(message: MessageId, inlineUpTo: number, files: Pick<BodyFiles, "create" | "open">, version: number) {
    this.#message = message;
    this.#inlineUpTo = inlineUpTo;
    this.#files = files;
    this.#version = version;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  write(bytes: Uint8Array): void | Promise<void> {
    assert(this.#state === "open", "content is written before it is finished or aborted");
    assert(!this.#isStepping, "the last piece is where it belongs before the next comes");
    this.#sizeBytes += bytes.length;
    if (this.#sizeBytes <= this.#inlineUpTo || (this.#isSpilling && this.#filled + bytes.length <= PORTION_BYTES)) {
      this.#keep(bytes);
      return undefined;
    }
    this.#isSpilling = true;
    this.#step = this.#spill(bytes);
    // Who aborts instead of waiting has heard enough.
    this.#step.catch(() => {});
    return this.#step;
  }

  async settle(): ReturnType<BodyWriter["settle"]> {
    assert(this.#state === "open", "content is settled once");
    this.#state = "settled";
    const sizeBytes = this.#sizeBytes;
    if (!this.#isSpilling) {
      const whole = Buffer.from(this.#buffer.buffer, 0, this.#filled);
      return { sizeBytes, whole, read: () => inMemory(whole) };
    }
    await this.#step;
    this.#step = this.#spill(NO_BYTES);
    await this.#step;
    assert(this.#file !== undefined, "spilling made a file");
    const { name } = this.#file;
    return { sizeBytes, read: () => inFile(() => this.#files.open(name)) };
  }

  async finish(): Promise<Body> {
    assert(this.#state === "open" || this.#state === "settled", "content is finished once");
    this.#state = "finishing";
    const body = await this.#finished();
    if (this.#isForgotten())
      throw new PosthornError("SPOOL_FAILED", {
        message: `the content of ${this.#message} was forgotten before it was durable`,
        advice: "see why the disk is so slow; the client was told to come again",
      });
    this.#state = "finished";
    return body;
  }

  async abort(because?: unknown): Promise<void> {
    const mayBeNamed = this.#state === "finished" && !isSurelyNotDone(because);
    this.#state = "aborted";
    this.#buffer = NO_BYTES;
    this.#filled = 0;
    // The file may be in the making. What its step has to say was said to whoever waited for it.
    await this.#step?.catch(() => {});
    if (!mayBeNamed) await this.#file?.abort();
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const least = this.#buffer.length === 0 ? 0 : GROWING_BYTES;
    const larger = new Uint8Array(
      Math.max(bytes, Math.min(2 * this.#buffer.length, Math.max(this.#inlineUpTo, PORTION_BYTES)), least),
    );
    larger.set(this.#buffer.subarray(0, this.#filled));
    this.#buffer = larger;
  }

  #keep(bytes: Uint8Array): void {
    this.#reserve(this.#filled + bytes.length);
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  async #spill(bytes: Uint8Array): Promise<void> {
    this.#isStepping = true;
    try {
      this.#file ??= await this.#files.create(this.#message, this.#version);
      if (this.#filled > 0) await this.#file.write(this.#buffer.subarray(0, this.#filled));
      this.#filled = 0;
      // A small rest waits for company; a large one would only be copied to be written.
      if (bytes.length < PORTION_BYTES / 2) this.#keep(bytes);
      else await this.#file.write(bytes);
    } finally {
      this.#isStepping = false;
    }
  }

  /** While it was made durable, nobody waited any more: the file goes, and no row may name it. */
  #isForgotten(): boolean {
    return this.#state === "aborted";
  }

  async #finished(): Promise<Body> {
    if (!this.#isSpilling) return { kind: "inline", bytes: this.#buffer.subarray(0, this.#filled) };
    await this.#step;
    await this.#spill(NO_BYTES);
    assert(this.#file !== undefined, "spilling made a file");
    return { kind: "file", name: this.#file.name, sizeBytes: await this.#file.finish() };
  }
}

async function* inMemory(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes;
}

async function* inFile(open: () => Promise<Readable>): AsyncGenerator<Buffer> {
  // Streams give what was put in: bytes here, as no encoding is set.
  for await (const piece of await open()) yield piece as Buffer;
}

const NO_BYTES = new Uint8Array(0);

/** Whether a commit that rejected like this left nothing behind (`store.ts`). */
function isSurelyNotDone(thrown: unknown): boolean {
  return (
    thrown instanceof PosthornError &&
    (thrown.code === "SPOOL_FULL" || thrown.code === "SPOOL_REFUSED" || thrown.code === "STORE_CLOSED")
  );
}
