import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { Turn } from "./own-view.ts";

/** Questions of one user that wait or run; more come from programs that do not wait for answers. */
const MOST_OF_ONE = 4;
const LIMIT_MS = 30_000;
/** However long an answer took: the next one waits no longer. */
const MOST_REST_MS = 1000;

/**
 * Turns for questions of users who see only their own mail: one at a time for all of them together, in the order in which
 * they came, and after each a rest as long as it took. So they have half of the time of whoever answers at most, however
 * many ask, and operators never wait behind more than one of them.
 */
export class PacedTurns {
  readonly #clock: Clock;
  readonly #asking = new Map<number, number>();
  #last: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(uid: number): Turn {
    return (ask) => this.#take(uid, ask);
  }

  async #take<Value>(uid: number, ask: () => Promise<Value>): Promise<Value> {
    const own = this.#asking.get(uid) ?? 0;
    if (own >= MOST_OF_ONE)
      throw new PosthornError("ROLE_UNAVAILABLE", {
        message: "too many questions of this user wait for an answer",
        advice: "ask again when they have ended",
      });
    this.#asking.set(uid, own + 1);
    const before = this.#last;
    const over = Promise.withResolvers<void>();
    this.#last = over.promise;
    await before;
    const startedAtMs = this.#clock.monotonicMs();
    try {
      return await withDeadline(this.#clock, LIMIT_MS, "the answer", ask);
    } finally {
      const left = (this.#asking.get(uid) ?? 1) - 1;
      if (left > 0) this.#asking.set(uid, left);
      else this.#asking.delete(uid);
      const restMs = Math.min(this.#clock.monotonicMs() - startedAtMs, MOST_REST_MS);
      this.#clock.after(restMs, () => over.resolve());
    }
  }
}
