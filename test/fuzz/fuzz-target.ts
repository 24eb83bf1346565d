/**
 * One thing that takes bytes from strangers. A file of `targets/` exports one as `target`; its docstring says what it asserts.
 * Nothing may ever be thrown by a parser; beyond that each target has something that must hold: what is formatted is parsed again,
 * other cuts of the same bytes give the same, two ways to the same answer agree, what is held stays below its bound.
 */
export interface FuzzTarget {
  /** Throws where something that must hold does not. */
  readonly run: (bytes: Buffer) => void | Promise<void>;
  /** Inputs to begin with, one character a byte: the shortest that reach far. */
  readonly seeds: readonly string[];
  /** Words of the language, for changes that stay near it. String literals of the code under test are added while fuzzing. */
  readonly tokens?: readonly string[];
  /** The longest input tried while looking for new paths. */
  readonly maxBytes?: number;
  /**
   * How long inputs become when time is measured against length; 0 where the target's own work is no measure of the code's. An
   * input is `[before, piece, behind]` with the piece repeated; each token and each seed as a piece are tried as well.
   */
  readonly longBytes?: number;
  readonly repeats?: readonly (readonly [before: string, piece: string, behind: string])[];
}

const MAX_BYTES = 2048;
const LONG_BYTES = 65_536;

export function maxBytesOf(target: FuzzTarget): number {
  return target.maxBytes ?? MAX_BYTES;
}

export function longBytesOf(target: FuzzTarget): number {
  return target.longBytes ?? LONG_BYTES;
}
