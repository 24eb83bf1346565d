import type { CensusRow } from "./store.ts";

/** Upper bounds of the age buckets in minutes, as qshape has them; the last bucket is everything older. */
const BOUNDS_MINUTES = [5, 10, 20, 40, 80, 160, 320, 640, 1280];

/** Counts envelopes by recipient domain and age. */
export class Census {
  readonly #counts = new Map<string, number[]>();
  readonly #now: number;

  constructor(now: number) {
    this.#now = now;
  }

  add(domain: string, receivedAt: number): void {
    let ages = this.#counts.get(domain);
    if (ages === undefined) {
      ages = Array.from({ length: BOUNDS_MINUTES.length + 1 }, () => 0);
      this.#counts.set(domain, ages);
    }
    const bucket = bucketOf(this.#now - receivedAt);
    ages[bucket] = (ages[bucket] ?? 0) + 1;
  }

  /** The fullest domain first. */
  rows(): readonly CensusRow[] {
    return [...this.#counts]
      .map(([domain, byAge]) => ({ domain, total: byAge.reduce((sum, count) => sum + count, 0), byAge }))
      .sort((a, b) => b.total - a.total || (a.domain < b.domain ? -1 : 1));
  }
}

function bucketOf(ageMs: number): number {
  const bucket = BOUNDS_MINUTES.findIndex((minutes) => ageMs <= minutes * 60_000);
  return bucket < 0 ? BOUNDS_MINUTES.length : bucket;
}
