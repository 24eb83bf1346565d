import type { Direction, Flight } from "./flight.ts";

/** Of each direction. */
const BYTES_LIMIT = 16_384;
const PIECES_LIMIT = 128;

/**
 * The first bytes of both directions with their times, bounded. Pieces that came in one go are one; when there are too
 * many, later ones join the last of their direction, so that a peer that sends single bytes costs no more than others.
 */
export class WireTape {
  readonly #kept: Record<Direction, { bytes: Uint8Array; size: number }> = {
    in: { bytes: new Uint8Array(0), size: 0 },
    out: { bytes: new Uint8Array(0), size: 0 },
  };
  readonly #pieces: { readonly at: number; readonly direction: Direction; readonly from: number; to: number }[] = [];

  add(at: number, direction: Direction, bytes: Uint8Array): void {
    const kept = this.#kept[direction];
    const taken = bytes.subarray(0, BYTES_LIMIT - kept.size);
    if (taken.length === 0) return;
    const last = this.#pieces.at(-1);
    const joins = last?.direction === direction && (last.at === at || this.#pieces.length >= PIECES_LIMIT);
    if (!joins && this.#pieces.length >= PIECES_LIMIT) return;
    if (kept.bytes.length < kept.size + taken.length) {
      const larger = new Uint8Array(Math.min(BYTES_LIMIT, Math.max(kept.size + taken.length, kept.bytes.length * 2)));
      larger.set(kept.bytes.subarray(0, kept.size));
      kept.bytes = larger;
    }
    kept.bytes.set(taken, kept.size);
    const from = kept.size;
    kept.size += taken.length;
    if (joins) last.to = kept.size;
    else this.#pieces.push({ at, direction, from, to: kept.size });
  }

  pieces(): Flight["wire"] {
    return this.#pieces.map(({ at, direction, from, to }) => ({
      at,
      direction,
      bytes: Buffer.from(this.#kept[direction].bytes.subarray(from, to)).toString("base64"),
    }));
  }
}
