import type { Rate } from "../../foundation/units.ts";
import { hasRoom, type Limited, type Line } from "./limited.ts";

/**
 * A bucket of tokens: one is spent for each mail (or connection), and comes back one period after it was spent. So in no
 * stretch of time as long as the period are more spent than the rate has, and nothing waits longer than that demands:
 * `100/min` lets a hundred go at once and the next a minute after the first; `5/3s` is as much, spread evenly.
 *
 * Who finds it empty stands in its line. When the next token comes back (in a wake heap) whoever has waited
 * longest is called.
 */
export interface Bucket extends Line {
  readonly kind: "bucket";
  rate: Rate;
  /** When tokens were spent, the oldest first, and how many then; those before `first` have come back. */
  spentAt: number[];
  spent: number[];
  first: number;
  /** Of `spent`, from `first` on. */
  missing: number;
  heapAt: number;
}

export function newBucket(rate: Rate): Bucket {
  return {
    kind: "bucket",
    rate,
    spentAt: [],
    spent: [],
    first: 0,
    missing: 0,
    waiting: [],
    from: 0,
    heapAt: -1,
  };
}

/**
 * Of a rate with more tokens than this, those spent within this part of the period come back together, with the last of
 * them: what a bucket remembers is bounded, and a wait is longer by that part at most.
 */
const GRAINS = 64;

/** Tokens that can be spent now. */
export function tokensIn(bucket: Bucket, now: number): number {
  takeBack(bucket, now);
  return Math.max(0, bucket.rate.count - bucket.missing);
}

/** The earliest instant at which a token can be spent. */
export function nextTokenAt(bucket: Bucket, now: number): number {
  if (tokensIn(bucket, now) > 0) return now;
  // More than one must come back where the rate was lowered.
  let lacking = bucket.missing - bucket.rate.count + 1;
  for (let at = bucket.first; at < bucket.spentAt.length; at++) {
    lacking -= bucket.spent[at] ?? 0;
    if (lacking <= 0) return (bucket.spentAt[at] ?? now) + bucket.rate.perMs;
  }
  return now;
}

/** The caller has seen that there is one. Returns the instant from which its period counts. */
export function spendToken(bucket: Bucket, now: number): number {
  takeBack(bucket, now);
  const last = bucket.spentAt.length - 1;
  const grainMs = bucket.rate.count > GRAINS ? bucket.rate.perMs / GRAINS : 0;
  // The grain it falls into ends the period's same part for all of it, so that none of it comes back early.
  const at = grainMs === 0 ? now : Math.ceil(Math.ceil(now / grainMs) * grainMs);
  if (last >= bucket.first && (bucket.spentAt[last] ?? 0) >= at) bucket.spent[last] = (bucket.spent[last] ?? 0) + 1;
  else {
    bucket.spentAt.push(at);
    bucket.spent.push(1);
  }
  bucket.missing++;
  return Math.max(at, bucket.spentAt.at(-1) ?? at);
}

/** One that was spent at this instant, as `spendToken` told it, was not needed. */
export function refundToken(bucket: Bucket, at: number, now: number): void {
  takeBack(bucket, now);
  const place = bucket.spentAt.lastIndexOf(at);
  const spent = bucket.spent[place] ?? 0;
  if (place < bucket.first || spent === 0) return;
  bucket.spent[place] = spent - 1;
  bucket.missing--;
}

/** Nothing is owed and nobody waits: it is as good as a new one. */
export function isIdle(bucket: Bucket, now: number): boolean {
  takeBack(bucket, now);
  return bucket.missing === 0 && bucket.from >= bucket.waiting.length;
}

function takeBack(bucket: Bucket, now: number): void {
  for (let at = bucket.spentAt[bucket.first]; at !== undefined; at = bucket.spentAt[bucket.first]) {
    if (at + bucket.rate.perMs > now) break;
    bucket.missing -= bucket.spent[bucket.first++] ?? 0;
  }
  if (bucket.first === 0 || (bucket.first < GRAINS && bucket.first < bucket.spentAt.length)) return;
  bucket.spentAt = bucket.spentAt.slice(bucket.first);
  bucket.spent = bucket.spent.slice(bucket.first);
  bucket.first = 0;
}

/** What there is only so much of: places, or tokens. */
export type Scarce = Limited | Bucket;

/** Is there one more to be had now? */
export function isToBeHad(scarce: Scarce, now: number): boolean {
  return scarce.kind === "limit" ? hasRoom(scarce) : tokensIn(scarce, now) > 0;
}
