import type { Clock, Timer } from "./clock.ts";

/**
 * A deadline that moves often and is hardly ever met. Moving it away costs a comparison: the clock's timer stays where it is,
 * and when it fires too early it is set for what is left. So a dialogue of thousands of answers has a timer every few minutes
 * rather than several for each answer.
 */
export class MovingTimer {
  readonly #clock: Clock;
  readonly #callback: () => void;
  #dueAtMs: number | undefined;
  #timer: Timer | undefined;
  #firesAtMs = 0;

  constructor(clock: Clock, callback: () => void) {
    this.#clock = clock;
    this.#callback = callback;
  }

  /** From now on the callback runs once, after `delayMs`; what was set before is forgotten. */
  set(delayMs: number): void {
    const dueAtMs = this.#clock.monotonicMs() + delayMs;
    this.#dueAtMs = dueAtMs;
    if (this.#timer !== undefined && this.#firesAtMs <= dueAtMs) return;
    this.#timer?.cancel();
    this.#arm(delayMs, dueAtMs);
  }

  /** Nothing is due; the clock's timer may stay, for whoever sets the next deadline. */
  clear(): void {
    this.#dueAtMs = undefined;
  }

  /** Nothing is due, and nothing will be: the clock has no timer of ours any more. */
  stop(): void {
    this.#dueAtMs = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number, firesAtMs: number): void {
    this.#firesAtMs = firesAtMs;
    this.#timer = this.#clock.after(delayMs, () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timer = undefined;
    const dueAtMs = this.#dueAtMs;
    if (dueAtMs === undefined) return;
    const leftMs = dueAtMs - this.#clock.monotonicMs();
    // Timers count in whole milliseconds from the last turn of the event loop: part of one is no reason to wait again.
    if (leftMs >= 1) {
      this.#arm(leftMs, dueAtMs);
      return;
    }
    this.#dueAtMs = undefined;
    this.#callback();
  }
}
