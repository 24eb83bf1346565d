import { newHistogram, percentile, record, type Histogram } from "./histogram.ts";

/** How long operations took, and how often there were such, while somebody measured. */
export interface Profile {
  readonly what: "scheduler" | "queue";
  readonly tookMs: number;
  readonly rows: readonly ProfileRow[];
}

export interface ProfileRow {
  readonly name: string;
  /** What the numbers are: `us` for durations, `n` for sizes. */
  readonly unit: "us" | "n";
  readonly count: number;
  readonly sum: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly most: number;
}

/** Where those look who have something to measure: nothing is there while nobody measures. */
export interface Profiling {
  profiler: Profiler | undefined;
}

/** Collects while it is there; who would give it numbers has none to give to when nobody measures. */
export class Profiler {
  readonly #rows = new Map<string, { readonly unit: ProfileRow["unit"]; readonly histogram: Histogram }>();

  add(name: string, unit: ProfileRow["unit"], value: number): void {
    let row = this.#rows.get(name);
    if (row === undefined) this.#rows.set(name, (row = { unit, histogram: newHistogram() }));
    record(row.histogram, value);
  }

  /** What cost most first. */
  read(): readonly ProfileRow[] {
    return [...this.#rows]
      .map(([name, { unit, histogram }]) => ({
        name,
        unit,
        count: histogram.count,
        sum: Math.round(histogram.sum),
        p50: Math.round(percentile(histogram, 0.5)),
        p90: Math.round(percentile(histogram, 0.9)),
        p99: Math.round(percentile(histogram, 0.99)),
        most: Math.round(histogram.most),
      }))
      .toSorted((one, other) => (one.unit === other.unit ? other.sum - one.sum : one.unit === "us" ? -1 : 1));
  }
}
