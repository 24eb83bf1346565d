import type { Clock } from "./clock.ts";

const SAME_WISH_MS = 1000;

/**
 * Tells of each signal whether it is a wish of its own. One wish to end comes more than once: a terminal's Ctrl-C, or a service
 * manager's SIGTERM, goes to every process of a group, and the programs that stand before ours there (npx, the launcher under
 * an older Node) pass theirs on.
 */
export function newWish(clock: Pick<Clock, "monotonicMs">): () => boolean {
  let heardAtMs: number | undefined;
  return () => {
    const nowMs = clock.monotonicMs();
    if (heardAtMs !== undefined && nowMs - heardAtMs < SAME_WISH_MS) return false;
    heardAtMs = nowMs;
    return true;
  };
}
