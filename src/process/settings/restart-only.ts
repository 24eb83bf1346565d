import { changedPaths } from "../../service/config/reload.ts";
import type { Settings } from "./settings.ts";

/** What shapes the processes themselves, and what they stand on: only a start puts other values of these in force. */
function restartOnlyOf({ queue, ...settings }: Settings) {
  const { state, user, group, keeperUser, keeperGroup, processes, control, journal } = settings;
  return { state, user, group, keeperUser, keeperGroup, processes, control, journal, queue: { store: queue.store } };
}

/**
 * Settings for a server that runs. What only a start puts in force stays as it was at the start, for all processes and for those
 * that are started anew, too: one of them with another queue or state than the rest would take mail where nobody looks for it.
 */
export function withStanding(
  next: Settings,
  atStart: Settings,
): { readonly settings: Settings; readonly awaitsRestart: readonly string[] } {
  const { queue, ...standing } = restartOnlyOf(atStart);
  return {
    settings: { ...next, ...standing, queue: { ...next.queue, ...queue } },
    awaitsRestart: changedPaths(restartOnlyOf(atStart), restartOnlyOf(next)),
  };
}
