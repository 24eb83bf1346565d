import type { Clock } from "./clock.ts";

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. Timers do not keep the process alive by themselves longer than their work needs. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    let timer: NodeJS.Timeout;
    // Node fires a timer beyond 2^31-1 ms at once; long waits are chained instead.
    const arm = (remainingMs: number): void => {
      const stepMs = Math.min(Math.max(0, remainingMs), LONGEST_TIMER_MS);
      timer = setTimeout(() => (remainingMs > stepMs ? arm(remainingMs - stepMs) : callback()), stepMs);
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};
