import type { Clock, Timer } from "../../foundation/clock.ts";

/**
 * The one deadline in force, on one timer. Deadlines move with nearly every packet, so moving one later costs nothing:
 * the timer stays, and when it fires too early it is set for what is left.
 */
export class MovingDeadline {
  readonly #clock: Clock;
  readonly #onPassed: (what: string) => void;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #at = Infinity;
  #what = "";

  constructor(clock: Clock, onPassed: (what: string) => void) {
    this.#clock = clock;
    this.#onPassed = onPassed;
  }

  /** From now on `what` is waited for, at most `limitMs`; what was waited for before no longer counts. */
  expect(limitMs: number, what: string): void {
    const now = this.#clock.monotonicMs();
    this.#at = now + limitMs;
    this.#what = what;
    if (this.#timerAt <= this.#at) return;
    this.#arm(now, limitMs);
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#at = Infinity;
  }

  #arm(now: number, delayMs: number): void {
    this.#timer?.cancel();
    this.#timerAt = now + delayMs;
    this.#timer = this.#clock.after(delayMs, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    if (this.#at === Infinity) return;
    const now = this.#clock.monotonicMs();
    // Timers may fire a moment early.
    if (this.#at - now > 1) return this.#arm(now, this.#at - now);
    this.#at = Infinity;
    this.#onPassed(this.#what);
  };
}
