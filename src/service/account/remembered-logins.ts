import type { Clock } from "../../foundation/clock.ts";

const MOST_REMEMBERED = 10_000;

/**
 * Logins that were right a moment ago: a mail program that logs in for each mail, or keeps four connections, pays for one
 * check. Only keyed digests of the passwords are kept; the key dies with the process. Bounded; what was added first goes
 * first.
 */
export class RememberedLogins {
  readonly #clock: Clock;
  readonly #forMs: number;
  readonly #digest: (text: string) => string;
  readonly #known = new Map<string, { readonly account: string; readonly untilMs: number }>();

  /** `digest` is keyed. Nothing is remembered for 0 ms. */
  constructor(clock: Clock, forMs: number, digest: (text: string) => string) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#digest = digest;
  }

  /** The account that these (user, password, and what else the answer rests on) opened. */
  find(...parts: readonly string[]): string | undefined {
    if (this.#forMs === 0) return undefined;
    const mark = this.#digest(JSON.stringify(parts));
    const known = this.#known.get(mark);
    if (known === undefined) return undefined;
    if (known.untilMs > this.#clock.monotonicMs()) return known.account;
    this.#known.delete(mark);
    return undefined;
  }

  add(account: string, ...parts: readonly string[]): void {
    if (this.#forMs === 0) return;
    const mark = this.#digest(JSON.stringify(parts));
    this.#known.delete(mark);
    this.#known.set(mark, { account, untilMs: this.#clock.monotonicMs() + this.#forMs });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST_REMEMBERED) break;
      this.#known.delete(oldest);
    }
  }
}
