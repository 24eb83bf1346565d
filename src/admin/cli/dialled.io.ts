import type { Duplex } from "node:stream";
import type { Dialled } from "./world.ts";

/** A stream as `injectMessage` speaks over it. */
export function dialledOver(stream: Duplex): Dialled {
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
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    end: () => void stream.end(),
    close: () => void stream.destroy(),
  };
}
