import type { ContentRoom, KeptContent } from "./filter.ts";
import { filterFailed } from "./failed.ts";

/** Content that is whole in memory. */
export function keptInMemory(...pieces: readonly Buffer[]): KeptContent {
  return {
    sizeBytes: pieces.reduce((sum, piece) => sum + piece.length, 0),
    async *read() {
      yield* pieces;
    },
  };
}

/** Room in memory, with a bound: for what is small, for tests and for `posthorn test`. */
export function memoryRoom(maxBytes: number): ContentRoom {
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  return {
    write(bytes) {
      sizeBytes += bytes.length;
      if (sizeBytes > maxBytes)
        throw filterFailed(`a filter gave more than ${maxBytes} bytes of content`, "see what the filter does");
      // The caller may use its buffer again.
      pieces.push(Buffer.from(bytes));
    },
    finish: async () => keptInMemory(...pieces),
    abort() {
      pieces = [];
    },
  };
}

/** All of it in one piece, for whoever knows that it is small enough. */
export async function wholeOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return all.length === 1 && all[0] !== undefined ? all[0] : Buffer.concat(all);
}
