/**
 * Durations or sizes counted in buckets of some nine percent each: small, of fixed size, and good for percentiles of
 * anything between a microsecond and days.
 */
export interface Histogram {
  readonly buckets: Uint32Array;
  count: number;
  sum: number;
  most: number;
}

/** Eight buckets for each doubling. */
const PER_DOUBLING = 8;
const DOUBLINGS = 40;

export function newHistogram(): Histogram {
  return { buckets: new Uint32Array(PER_DOUBLING * DOUBLINGS), count: 0, sum: 0, most: 0 };
}

/** Numbers below one are counted as one: give microseconds rather than milliseconds. */
export function record(histogram: Histogram, value: number): void {
  const at = Math.min(PER_DOUBLING * DOUBLINGS - 1, Math.floor(Math.log2(Math.max(1, value)) * PER_DOUBLING));
  histogram.buckets[at] = (histogram.buckets[at] ?? 0) + 1;
  histogram.count++;
  histogram.sum += value;
  histogram.most = Math.max(histogram.most, value);
}

/** The value that `share` (0 to 1) of all are not above, to within a bucket; 0 when nothing was counted. */
export function percentile(histogram: Histogram, share: number): number {
  const wanted = Math.ceil(histogram.count * share);
  let seen = 0;
  for (let at = 0; at < histogram.buckets.length; at++) {
    seen += histogram.buckets[at] ?? 0;
    if (seen >= wanted && seen > 0) return Math.min(histogram.most, 2 ** ((at + 1) / PER_DOUBLING));
  }
  return histogram.most;
}
