import type { Failure } from "../envelope/failure.ts";

/**
 * What a route (or a relay that could not be resolved) owes for its failures. A connection or session that fails before
 * a transaction adds one; the thing then rests penalty² × 15 s, at most an hour; success takes one away, and so does
 * each quiet time without a failure.
 */
export interface Penalty {
  count: number;
  restsUntilAt: number;
  /** Since when nothing went wrong, or one was taken away: the start of the running quiet time. */
  quietSinceAt: number;
  lastFailure: Failure | undefined;
}

export interface PenaltyRules {
  readonly stepMs: number;
  readonly longestRestMs: number;
  readonly quietMs: number;
}

export function noPenalty(): Penalty {
  return { count: 0, restsUntilAt: 0, quietSinceAt: 0, lastFailure: undefined };
}

function restMs(count: number, rules: PenaltyRules): number {
  return Math.min(count * count * rules.stepMs, rules.longestRestMs);
}

export function penalise(penalty: Penalty, failure: Failure, now: number, rules: PenaltyRules): void {
  forgive(penalty, now, rules);
  // Beyond the longest rest a higher count would only lengthen the way back.
  if (restMs(penalty.count, rules) < rules.longestRestMs) penalty.count++;
  penalty.restsUntilAt = now + restMs(penalty.count, rules);
  penalty.quietSinceAt = penalty.restsUntilAt;
  penalty.lastFailure = failure;
}

/** After a success: one less, and no rest. */
export function reward(penalty: Penalty, now: number): void {
  if (penalty.count > 0) penalty.count--;
  if (penalty.count === 0) penalty.lastFailure = undefined;
  penalty.restsUntilAt = 0;
  penalty.quietSinceAt = now;
}

/** Takes away what quiet time has earned until now. */
export function forgive(penalty: Penalty, now: number, rules: PenaltyRules): void {
  if (penalty.count === 0 || now <= penalty.quietSinceAt) return;
  const steps = Math.min(penalty.count, Math.floor((now - penalty.quietSinceAt) / rules.quietMs));
  penalty.count -= steps;
  penalty.quietSinceAt += steps * rules.quietMs;
  if (penalty.count === 0) penalty.lastFailure = undefined;
}
