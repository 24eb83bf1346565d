import { once } from "node:events";
import type { Output } from "./world.ts";

/** A pager gets this far ahead of its reader before a list is asked for more slowly: half a million lines. */
const MOST_UNTAKEN_BYTES = 64 * 1024 * 1024;

/** A stream of this process. What cannot be written is told by `lost`, and ends nothing by itself. */
export function outputTo(stream: NodeJS.WriteStream): Output {
  const lost = new AbortController();
  stream.on("error", (error) => lost.abort(error));
  return {
    isTerminal: stream.isTTY,
    get columns() {
      return stream.columns;
    },
    get rows() {
      return stream.rows;
    },
    write: (text) => void stream.write(text),
    async room() {
      if (stream.writableLength > MOST_UNTAKEN_BYTES) await once(stream, "drain");
    },
    flushed: () =>
      new Promise((resolve) => {
        stream.write("", () => resolve());
      }),
    lost: lost.signal,
  };
}
