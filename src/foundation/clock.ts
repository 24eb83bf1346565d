/**
 * Time is an argument. Everything above the sockets takes a `Clock`; the simulator's is virtual (`simulator/clock.ts`),
 * the machine's is `clock.io.ts`. Nothing else may read the time or set a timer.
 */
export interface Clock {
  /** Milliseconds since the epoch. May step when the machine's clock is set. */
  now(): number;
  /** Milliseconds since an arbitrary start; never goes back. For measuring how long something took. */
  monotonicMs(): number;
  /** Runs `callback` once, not before `delayMs` has passed. Cancel it through the returned handle. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** A promise that settles after `delayMs`; rejects with the signal's reason when aborted first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      if (signal !== undefined) reject(reasonOf(signal));
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason });
}
