import type { Clock, Timer } from "../../../foundation/clock.ts";

/** Between being told to end and being killed. */
export const GRACE_MS = 5000;
/** However little time a stop has. */
const LEAST_GRACE_MS = 500;
/** An outcome that is known at the stop's very end is not written any more. */
const TO_BE_TOLD_MS = 1000;

/** A command that runs: told to end, and killed when that takes longer than the grace. */
export interface EndableCommand {
  end(graceMs: number): void;
}

/**
 * All commands of this process, whatever settings they were started by. One that lived on behind a server that stops would end
 * its work when nobody hears of it, and the next start would deliver the same mail again.
 */
export class RunningCommands {
  readonly #clock: Clock;
  readonly #running = new Set<EndableCommand>();
  #endAtMs = Infinity;
  #timer: Timer | undefined;
  /** None may begin any more. */
  isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(command: EndableCommand): void {
    this.#running.add(command);
  }

  delete(command: EndableCommand): void {
    this.#running.delete(command);
  }

  /** The server stops within this time: they may go on for most of it, and have ended, or are killed, before it is over. */
  finish(withinMs: number): void {
    const graceMs = Math.min(GRACE_MS, Math.max(LEAST_GRACE_MS, withinMs / 4));
    const waitMs = Math.max(0, withinMs - TO_BE_TOLD_MS - graceMs);
    const endAtMs = this.#clock.monotonicMs() + waitMs;
    if (this.isOver || endAtMs >= this.#endAtMs) return;
    this.#endAtMs = endAtMs;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(waitMs, () => {
      this.isOver = true;
      for (const command of this.#running) command.end(graceMs);
    });
  }
}
