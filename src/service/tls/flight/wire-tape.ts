import type { Direction, Flight } from "./flight.ts";

/** Of each direction. */
const BYTES_LIMIT = 16_384;
const PIECES_LIMIT = 128;

interface Piece {
  readonly at: number;
  readonly direction: Direction;
  chunks: Uint8Array[];
}

/**
 * The first bytes of both directions with their times, bounded. Pieces that came in one go are one; when there are too
 * many, later ones join the last of their direction, so that a peer that sends single bytes costs no more than others.
 * What is added is kept as it is, not copied: nobody may write into it later.
 */
export class WireTape {
  readonly #sizes: Record<Direction, number> = { in: 0, out: 0 };
  readonly #pieces: Piece[] = [];
  #chunks = 0;

  add(at: number, direction: Direction, bytes: Uint8Array): void {
    const left = BYTES_LIMIT - this.#sizes[direction];
    if (left <= 0) return;
    const taken = bytes.length <= left ? bytes : bytes.subarray(0, left);
    const last = this.#pieces.at(-1);
    const isFull = this.#pieces.length >= PIECES_LIMIT;
    if (last?.direction === direction && (last.at === at || isFull)) {
      if (this.#chunks < PIECES_LIMIT) last.chunks.push(taken);
      else last.chunks = [Buffer.concat([...last.chunks, taken])];
    } else if (isFull) return;
    else this.#pieces.push({ at, direction, chunks: [taken] });
    this.#chunks += 1;
    this.#sizes[direction] += taken.length;
  }

  pieces(): Flight["wire"] {
    return this.#pieces.map(({ at, direction, chunks }) => ({
      at,
      direction,
      bytes: Buffer.concat(chunks).toString("base64"),
    }));
  }
}
