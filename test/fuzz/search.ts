import type { Random } from "../../src/foundation/random.ts";
import { maxBytesOf, type FuzzTarget } from "./fuzz-target.ts";
import { below, mutate } from "./mutate.ts";

/**
 * The search for inputs that make the code go where it has not been: an input that runs a branch for the first time, or so many
 * times as never before, is kept and changed further.
 */
export interface Kept {
  readonly bytes: Buffer;
  /** What it ran: counter and class of count, as one number. */
  readonly features: readonly number[];
}

/** The counts of one run, by counter; zeros where nothing is counted. */
export interface Counters {
  readonly counts: Uint32Array;
  /** How many of them are in use. */
  used(): number;
}

const CLASSES = 8;

export class Search {
  readonly #target: FuzzTarget;
  readonly #random: Random;
  readonly #counters: Counters;
  /** How many kept inputs have a feature: what few have is worth changing. */
  readonly #seen = new Map<number, number>();
  readonly #kept: Kept[] = [];
  readonly #words: Buffer[];
  runs = 0;

  constructor(target: FuzzTarget, random: Random, counters: Counters, literals: readonly string[]) {
    this.#target = target;
    this.#random = random;
    this.#counters = counters;
    const words = [...(target.tokens ?? []), ...(target.tokens ?? []), ...literals, "\r\n", "\0", "\xc3\xa4"];
    this.#words = words.map((word) => Buffer.from(word, "latin1"));
  }

  get kept(): readonly Kept[] {
    return this.#kept;
  }

  get features(): number {
    return this.#seen.size;
  }

  nextInput(): Buffer {
    const others = this.#kept.map((kept) => kept.bytes);
    const parent = this.#parent();
    return mutate(parent, this.#random, { words: this.#words, others, maxBytes: maxBytesOf(this.#target) });
  }

  /** Runs an input and keeps it where it went somewhere new. Throws what the target throws. */
  async run(bytes: Buffer): Promise<void> {
    this.#counters.counts.fill(0, 0, this.#counters.used());
    this.runs++;
    const running = this.#target.run(bytes);
    if (running !== undefined) await running;
    const features = this.#features();
    if (!features.some((feature) => !this.#seen.has(feature))) return;
    for (const feature of features) this.#seen.set(feature, (this.#seen.get(feature) ?? 0) + 1);
    this.#kept.push({ bytes: Buffer.from(bytes), features });
  }

  #parent(): Buffer {
    // Of two, the one that knows something rarer: the frontier is changed more often than the beaten track.
    const one = this.#kept[below(this.#random, this.#kept.length)];
    const other = this.#kept[below(this.#random, this.#kept.length)];
    if (one === undefined || other === undefined) return Buffer.alloc(0);
    return (this.#rarity(one) <= this.#rarity(other) ? one : other).bytes;
  }

  #rarity(kept: Kept): number {
    let rarest = Number.MAX_SAFE_INTEGER;
    for (const feature of kept.features) rarest = Math.min(rarest, this.#seen.get(feature) ?? 0);
    return rarest;
  }

  #features(): number[] {
    const features: number[] = [];
    const { counts } = this.#counters;
    const used = this.#counters.used();
    for (let at = 0; at < used; at++) {
      const count = counts[at] ?? 0;
      if (count > 0) features.push(at * CLASSES + classOf(count));
    }
    return features;
  }
}

/** 1, 2, 3, up to 7, 15, 31, 127, and beyond: going round a loop once more is news, once more than a hundred times is not. */
function classOf(count: number): number {
  if (count <= 3) return count - 1;
  if (count < 8) return 3;
  if (count < 16) return 4;
  if (count < 32) return 5;
  return count < 128 ? 6 : 7;
}

/** The fewest inputs, short ones first, that run what all of them run. */
export function fewest(kept: readonly Kept[]): readonly Buffer[] {
  const missing = new Set(kept.flatMap((each) => each.features));
  const chosen: Buffer[] = [];
  for (const { bytes, features } of kept.toSorted((one, other) => one.bytes.length - other.bytes.length)) {
    if (!features.some((feature) => missing.has(feature))) continue;
    for (const feature of features) missing.delete(feature);
    chosen.push(bytes);
  }
  return chosen;
}

/** A shorter input for which `stillFails` holds: pieces are taken out, large ones first. */
export async function shortest(bytes: Buffer, stillFails: (bytes: Buffer) => Promise<boolean>): Promise<Buffer> {
  let best = bytes;
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length;) {
      const without = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (await stillFails(without)) best = without;
      else at += size;
    }
  }
  return best;
}
