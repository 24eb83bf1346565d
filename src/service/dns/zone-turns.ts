import type { Clock } from "../../foundation/clock.ts";

interface Waiting {
  readonly zone: string;
  readonly triesBefore: number;
  readonly begin: () => void;
}

/**
 * Whose question may be on the way. An unanswered one holds its place until its time is up, and anybody can have a domain whose
 * servers are silent: so a zone never has more places than are free, which leaves some for every other one, and of those
 * that wait the zone with the fewest goes first, a first try before a repetition, then who has waited longest.
 */
export class ZoneTurns {
  readonly #clock: Clock;
  readonly #held = new Map<string, number>();
  readonly #waiting = new Set<Waiting>();
  #free: number;

  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#free = most;
  }

  /** A place for a question about `name`, with what gives it back; undefined if there was none within `limitMs`. */
  take(name: string, triesBefore: number, limitMs: number): Promise<(() => void) | undefined> {
    const zone = zoneOf(name);
    return new Promise((settle) => {
      const begin = (): void => {
        timer.cancel();
        this.#waiting.delete(waiting);
        this.#free--;
        this.#held.set(zone, this.#heldBy(zone) + 1);
        settle(() => this.#leave(zone));
      };
      const waiting: Waiting = { zone, triesBefore, begin };
      const timer = this.#clock.after(limitMs, () => {
        this.#waiting.delete(waiting);
        settle(undefined);
      });
      this.#waiting.add(waiting);
      // Whoever waits already has no place to take: only this one's coming is new.
      if (this.#heldBy(zone) < this.#free) begin();
    });
  }

  #leave(zone: string): void {
    const held = this.#heldBy(zone) - 1;
    if (held > 0) this.#held.set(zone, held);
    else this.#held.delete(zone);
    this.#free++;
    for (let next = this.#next(); next !== undefined; next = this.#next()) next.begin();
  }

  #next(): Waiting | undefined {
    let best: Waiting | undefined;
    let bestHeld = this.#free;
    for (const waiting of this.#waiting) {
      const held = this.#heldBy(waiting.zone);
      if (held < bestHeld || (best !== undefined && held === bestHeld && waiting.triesBefore < best.triesBefore)) {
        best = waiting;
        bestHeld = held;
      }
    }
    return best;
  }

  #heldBy(zone: string): number {
    return this.#held.get(zone) ?? 0;
  }
}

/** Below these of a country, names are given to people as below the country itself. */
const SHARED = /^(?:ac|co|com|edu|go|gob|gov|gv|ltd|me|ne|net|nom|or|org)$/;

/**
 * The part of a name that one holder answers for, as far as a look at it tells: `example.org`, `example.co.uk`, a /16 or a
 * /32 of IPv6. It only says who shares turns, so a guess is enough.
 */
function zoneOf(name: string): string {
  const labels = name.split(".");
  const [second = "", top = ""] = labels.slice(-2);
  if (top === "arpa") return labels.slice(second === "ip6" ? -10 : -4).join(".");
  return labels.slice(top.length === 2 && SHARED.test(second) ? -3 : -2).join(".");
}
