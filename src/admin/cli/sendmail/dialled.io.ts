import type { Duplex } from "node:stream";
import type { Dialled } from "../world.ts";

/**
 * A stream as `injectMessage` speaks over it. `gone` aborts when the other end is destroyed, where the stream does not tell: a pair
 * within a process says the end to whoever reads, and who writes would wait for a reader for ever.
 */
export function dialledOver(stream: Duplex, gone?: AbortSignal): Dialled {
  // A stream that ends while nobody reads or writes is noticed by the next who does.
  stream.on("error", () => {});
  const chunks = stream[Symbol.asyncIterator]();
  return {
    async read(limitMs) {
      const timer = setTimeout(() => {
        stream.destroy(new Error(`the server was silent for ${Math.round(limitMs / 1000)} seconds`));
      }, limitMs);
      try {
        const step = await chunks.next();
        // Without an encoding a stream of bytes gives buffers.
        return step.done === true ? undefined : (step.value as Buffer);
      } finally {
        clearTimeout(timer);
      }
    },
    write: (bytes, limitMs) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const late = new Error(`the server took nothing for ${Math.round(limitMs / 1000)} seconds`);
          // What is with the other end of a pair is never called back for.
          reject(late);
          stream.destroy(late);
        }, limitMs);
        const onGone = (): void => {
          clearTimeout(timer);
          reject(new Error("the server closed the connection"));
        };
        if (gone?.aborted === true) onGone();
        gone?.addEventListener("abort", onGone, { once: true });
        stream.write(bytes, (error) => {
          clearTimeout(timer);
          gone?.removeEventListener("abort", onGone);
          if (error) reject(error);
          else resolve();
        });
      }),
    end: () => void stream.end(),
    close: () => void stream.destroy(),
  };
}
