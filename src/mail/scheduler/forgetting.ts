import type { Limited } from "../route/limited.ts";
import { forgive } from "../route/penalty.ts";
import { isIdle } from "../route/rate.ts";
import { penaltyRules } from "./serve/choose.ts";
import type { SchedulerState } from "./state.ts";

/**
 * Routes, limits and buckets that carry no knowledge (nothing is used of them, nobody waits, nothing is owed) are
 * forgotten whenever there are twice as many as were kept the last time: on the average that costs each of them one look.
 * It happens at the end of a step, when nobody holds one that is about to be used.
 */
const MOST_UNLOOKED_AT = 1000;

export function forgetUnused(s: SchedulerState): void {
  if (sizeOf(s) < 2 * s.keptAfterSweep + MOST_UNLOOKED_AT) return;
  const rules = penaltyRules(s);
  for (const [key, { connections, penalty }] of s.routes) {
    forgive(penalty, s.now, rules);
    if (isUnused(connections) && penalty.count === 0 && penalty.restsUntilAt <= s.now) s.routes.delete(key);
  }
  // Connections that hang go back to the limits of our addresses when they are made: `hanging.ts`.
  const ofSources = s.hanging.used > 0 ? [] : [s.sources];
  for (const limits of [s.hosts, ...ofSources, s.domains, s.shaped])
    for (const [key, limit] of limits) if (isUnused(limit)) limits.delete(key);
  for (const [key, bucket] of s.buckets) if (isIdle(bucket, s.now) && bucket.heapAt < 0) s.buckets.delete(key);
  s.keptAfterSweep = sizeOf(s);
}

function sizeOf(s: SchedulerState): number {
  return s.routes.size + s.hosts.size + s.sources.size + s.domains.size + s.shaped.size + s.buckets.size;
}

function isUnused({ used, waiting, from }: Limited): boolean {
  return used === 0 && from >= waiting.length;
}
