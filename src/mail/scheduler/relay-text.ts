import { goesByMx } from "./plan.ts";
import type { RelayQueue } from "./state.ts";

/**
 * A relay as people know it: the domain whose mail exchangers are being found, the names of the best exchangers that
 * domains share, or the smarthosts as they were written.
 */
export function relayText(relay: RelayQueue): string {
  const { plan, domain, candidates } = relay;
  if (domain !== undefined) return domain;
  const best = candidates[0];
  if (!goesByMx(plan) || best === undefined) return plan.ways.map(({ text }) => text).join(", ");
  const names = new Set(candidates.filter(({ rank }) => rank === best.rank).map(({ host }) => host.name));
  return [...names].sort().join(", ");
}
