import type { Clock } from "../../foundation/clock.ts";

/** Less is no jump: the time of day is steered, and both clocks are rounded. */
const JUMP_MS = 1000;

/**
 * Milliseconds that have gone by, for what must not be believed for too long. The monotonic clock stands still while the machine
 * sleeps (Linux), and the time of day may be set: whichever has moved further counts. Setting it back prolongs nothing.
 */
export function elapsedBy(clock: Pick<Clock, "now" | "monotonicMs">): () => number {
  let ahead = clock.now() - clock.monotonicMs();
  let jumpedMs = 0;
  return () => {
    const atMs = clock.monotonicMs();
    const jump = clock.now() - atMs - ahead;
    if (Math.abs(jump) >= JUMP_MS) {
      ahead += jump;
      jumpedMs += Math.max(0, jump);
    }
    return atMs + jumpedMs;
  };
}
