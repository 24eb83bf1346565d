import type { Clock } from "../../foundation/clock.ts";
import { DeadlinePassed } from "../../foundation/deadline.ts";

/** How a question ends that gets no answer, or a failure for one. */
export interface Otherwise {
  readonly failed: (because: unknown) => void;
  readonly limitMs: number;
  /** What is waited for, in the log's words. */
  readonly what: string;
}

/**
 * The question that a session has open: at most one. It is answered, fails, or expires, and whatever comes after that is
 * too late and ignored.
 */
export class OpenQuestion {
  readonly #clock: Clock;
  readonly #onSettled: () => void;
  #number = 0;
  #isOpen = false;
  #askedAt = 0;
  #expire: (() => void) | undefined;
  /** How long questions have been open in all. */
  waitedMs = 0;

  /** `onSettled` is called behind the answer, unless that opened the next question. */
  constructor(clock: Clock, onSettled: () => void) {
    this.#clock = clock;
    this.#onSettled = onSettled;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Exactly one of `onAnswer` and `otherwise.failed` will be called. The deadline is the caller's to watch: `expire`. */
  ask<Answer>(answer: Promise<Answer>, onAnswer: (answer: Answer) => void, otherwise: Otherwise): void {
    const number = ++this.#number;
    this.#isOpen = true;
    this.#askedAt = this.#clock.monotonicMs();
    const isLate = (): boolean => number !== this.#number || !this.#isOpen;
    this.#expire = () => {
      this.#close();
      otherwise.failed(new DeadlinePassed(otherwise.what, otherwise.limitMs));
      this.#settled();
    };
    answer.then(
      (value) => {
        if (isLate()) return;
        this.#close();
        onAnswer(value);
        this.#settled();
      },
      (because: unknown) => {
        if (isLate()) return;
        this.#close();
        otherwise.failed(because);
        this.#settled();
      },
    );
  }

  /** The deadline has passed. */
  expire(): void {
    this.#expire?.();
  }

  #close(): void {
    this.#isOpen = false;
    this.#expire = undefined;
    this.waitedMs += this.#clock.monotonicMs() - this.#askedAt;
  }

  #settled(): void {
    if (!this.#isOpen) this.#onSettled();
  }
}
