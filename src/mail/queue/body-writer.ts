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
  let buffer = NO_BYTES;
  let filled = 0;
  let sizeBytes = 0;
  let file: NewBodyFile | undefined;
  /** Set with the file's first write: from then on all goes there. */
  let isSpilling = false;
  let state: "open" | "settled" | "finishing" | "finished" | "aborted" = "open";
  /** The step under way; steps never overlap, or one would forget what another has yet to write. */
  let step: Promise<void> = Promise.resolve();
  let isStepping = false;

  const reserve = (bytes: number): void => {
    if (bytes <= buffer.length) return;
    const least = buffer.length === 0 ? 0 : GROWING_BYTES;
    const larger = new Uint8Array(
      Math.max(bytes, Math.min(2 * buffer.length, Math.max(inlineUpTo, PORTION_BYTES)), least),
    );
    larger.set(buffer.subarray(0, filled));
    buffer = larger;
  };
  const keep = (bytes: Uint8Array): void => {
    reserve(filled + bytes.length);
    buffer.set(bytes, filled);
    filled += bytes.length;
  };
  const spill = async (bytes: Uint8Array): Promise<void> => {
    isStepping = true;
    try {
      file ??= await files.create(message, version);
      if (filled > 0) await file.write(buffer.subarray(0, filled));
      filled = 0;
      // A small rest waits for company; a large one would only be copied to be written.
      if (bytes.length < PORTION_BYTES / 2) keep(bytes);
      else await file.write(bytes);
    } finally {
      isStepping = false;
    }
  };

  /** While it was made durable, nobody waited any more: the file goes, and no row may name it. */
  const isForgotten = (): boolean => state === "aborted";

  const finished = async (): Promise<Body> => {
    if (!isSpilling) return { kind: "inline", bytes: buffer.subarray(0, filled) };
    await step;
    await spill(new Uint8Array(0));
    assert(file !== undefined, "spilling made a file");
    return { kind: "file", name: file.name, sizeBytes: await file.finish() };
  };

  return {
    get sizeBytes() {
      return sizeBytes;
    },
    write(bytes) {
      assert(state === "open", "content is written before it is finished or aborted");
      assert(!isStepping, "the last piece is where it belongs before the next comes");
      sizeBytes += bytes.length;
      if (sizeBytes <= inlineUpTo || (isSpilling && filled + bytes.length <= PORTION_BYTES)) {
        keep(bytes);
        return undefined;
      }
      isSpilling = true;
      step = spill(bytes);
      // Who aborts instead of waiting has heard enough.
      step.catch(() => {});
      return step;
    },
    async settle() {
      assert(state === "open", "content is settled once");
      state = "settled";
      if (!isSpilling) {
        const whole = Buffer.from(buffer.buffer, 0, filled);
        return { sizeBytes, whole, read: () => inMemory(whole) };
      }
      await step;
      step = spill(NO_BYTES);
      await step;
      assert(file !== undefined, "spilling made a file");
      const { name } = file;
      return { sizeBytes, read: () => inFile(() => files.open(name)) };
    },
    async finish(): Promise<Body> {
      assert(state === "open" || state === "settled", "content is finished once");
      state = "finishing";
      const body = await finished();
      if (isForgotten())
        throw new PosthornError("SPOOL_FAILED", {
          message: `the content of ${message} was forgotten before it was durable`,
          advice: "see why the disk is so slow; the client was told to come again",
        });
      state = "finished";
      return body;
    },
    async abort(because) {
      const mayBeNamed = state === "finished" && !isSurelyNotDone(because);
      state = "aborted";
      buffer = NO_BYTES;
      filled = 0;
      // The file may be in the making. What its step has to say was said to whoever waited for it.
      await step.catch(() => {});
      if (!mayBeNamed) await file?.abort();
    },
  };
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
