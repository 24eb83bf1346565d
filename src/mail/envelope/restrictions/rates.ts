import type { Clock } from "../../../foundation/clock.ts";
import { addTo, freeAt, openWindow, slide, type SlidingWindow } from "../../../foundation/sliding-window.ts";
import type { Rate } from "../../../foundation/units.ts";

/** What clients send, counted for all processes that receive mail. */
export interface RatePort {
  /** Never rejects. Counts it, if there is room for it; what is not counted is to be refused. */
  countRate(ask: RateAsk): Promise<RateAnswer>;
}

export interface RateAsk {
  /** The restriction's name. Each counts for itself, and one name may stand for several: they differ in what they count, or in the time. */
  readonly rate: string;
  /** `account recipients` */
  readonly of: string;
  /** Whose it is: `192.0.2.0/24`, `ada`. */
  readonly key: string;
  readonly amount: number;
  readonly limit: Rate;
}

export type RateAnswer =
  | { readonly kind: "counted" }
  /** `againAt`: when there will be room, if nothing more comes. */
  | { readonly kind: "full"; readonly againAt: number }
  | { readonly kind: "failed"; readonly text: string };

export interface ShownRate {
  readonly rate: string;
  readonly key: string;
  readonly sum: number;
  readonly limit: number;
  readonly perMs: number;
  /** Times that there was no room, since there last was. */
  readonly refused: number;
  readonly lastAt: number;
}

interface Counter {
  readonly rate: string;
  readonly key: string;
  readonly window: SlidingWindow;
  limit: number;
  refused: number;
  lastAt: number;
}

/** Of more keys the one that was seen longest ago is forgotten: some 30 MB in all. */
const MOST_KEYS = 100_000;
const MOST_SHOWN = 1000;

/** The counters of all rates. In memory: after a restart everybody begins anew. */
export class Rates {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #counters = new Map<string, Counter>();

  constructor(clock: Clock, most = MOST_KEYS) {
    this.#clock = clock;
    this.#most = most;
  }

  count({ rate, of, key, amount, limit }: RateAsk): RateAnswer {
    const now = this.#clock.now();
    const id = `${rate}\0${of} ${limit.perMs}\0${key}`;
    let counter = this.#counters.get(id);
    if (counter === undefined)
      counter = { rate, key, window: openWindow(limit.perMs, now), limit: limit.count, refused: 0, lastAt: now };
    else slide(counter.window, now);
    counter.limit = limit.count;
    // The last in the map was seen last.
    this.#counters.delete(id);
    this.#counters.set(id, counter);
    const oldest = this.#counters.keys().next();
    if (this.#counters.size > this.#most && oldest.done !== true) this.#counters.delete(oldest.value);
    const { window } = counter;
    // What is larger than the whole limit has room when nothing else is there.
    if (window.sum > 0 && window.sum + amount > limit.count) {
      counter.refused++;
      return { kind: "full", againAt: freeAt(window, window.sum + amount - limit.count) };
    }
    counter.refused = 0;
    counter.lastAt = now;
    addTo(window, amount);
    return { kind: "counted" };
  }

  /** Those that have something in their time, the nearest to their limit first. */
  shown(): readonly ShownRate[] {
    const now = this.#clock.now();
    const rows: ShownRate[] = [];
    for (const { rate, key, window, limit, refused, lastAt } of this.#counters.values()) {
      slide(window, now);
      if (window.sum === 0) continue;
      rows.push({ rate, key, sum: window.sum, limit, perMs: window.perMs, refused, lastAt });
    }
    return rows.toSorted((a, b) => b.sum / b.limit - a.sum / a.limit || (a.key < b.key ? -1 : 1)).slice(0, MOST_SHOWN);
  }

  /** Lets a key begin anew, in all rates. How many that were. */
  clear(key: string): number {
    const found = [...this.#counters].filter(([, counter]) => counter.key === key);
    for (const [id] of found) this.#counters.delete(id);
    return found.length;
  }
}
