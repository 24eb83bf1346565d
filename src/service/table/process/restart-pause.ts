/** A program that has lived as long as this was well, and its next end is its first one. */
const LASTING_MS = 60_000;
const FIRST_MS = 1000;
const LONGEST_MS = 60_000;

/**
 * How long to wait before a program that ended is started again, in ms: 1 s, then twice as long each time that it does not
 * live for a minute, up to a minute. `random` in [0, 1) shortens it by up to a fifth, so that many do not start together.
 */
export function restartPause(
  failedStarts: number,
  livedMs: number,
  random: number,
): { readonly failedStarts: number; readonly pauseMs: number } {
  const failed = livedMs >= LASTING_MS ? 1 : failedStarts + 1;
  const pauseMs = Math.min(FIRST_MS * 2 ** Math.min(failed - 1, 16), LONGEST_MS);
  return { failedStarts: failed, pauseMs: pauseMs * (1 - random / 5) };
}
