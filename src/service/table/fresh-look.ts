import { sleep, type Clock } from "../../foundation/clock.ts";

/** A changed file is noticed so long after the change at the latest, at the next lookup. */
const LOOK_EVERY_MS = 1000;
/** So long a lookup waits for the disk when nobody has looked for a while; a slower disk holds nobody up. */
const PATIENCE_MS = 250;

/**
 * When a file that lookups read is looked at again. Where lookups come all the time the look runs beside them. The first one
 * after a quiet time waits for it: else whoever has just changed a file, and tries it, would be answered from the old one.
 */
export class FreshLook {
  readonly #clock: Clock;
  readonly #look: () => Promise<void>;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** When the last look began that came to its end. */
  #knownAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  /** `look` may reject; who needs it hears of that. */
  constructor(clock: Clock, look: () => Promise<void>) {
    this.#clock = clock;
    this.#look = look;
  }

  /**
   * Begins a look where it is time for one, `everyMs` after the last, and gives what a lookup has to wait for; mostly nothing.
   * Who `needs` it waits for as long as it takes.
   */
  before({ needs = false, everyMs = LOOK_EVERY_MS }: { needs?: boolean; everyMs?: number } = {}):
    | Promise<void>
    | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (this.#looking === undefined && nowMs - this.#lookedAt >= everyMs) {
      this.#lookedAt = nowMs;
      const looking = this.#look().finally(() => {
        this.#looking = undefined;
        this.#knownAt = nowMs;
      });
      looking.catch(() => {});
      this.#looking = looking;
    }
    if (needs) return this.#looking;
    const leftMs = this.#lookedAt + PATIENCE_MS - nowMs;
    const isKnown = nowMs - this.#knownAt < 2 * LOOK_EVERY_MS;
    return this.#looking === undefined || isKnown || leftMs <= 0 ? undefined : this.#patiently(this.#looking, leftMs);
  }

  /** Looks, however short ago somebody did, for who asks how things stand. Never rejects. */
  async now(): Promise<void> {
    const looking = this.before({ needs: true, everyMs: 0 });
    if (looking !== undefined) await this.#patiently(looking, PATIENCE_MS);
  }

  async #patiently(looking: Promise<void>, leftMs: number): Promise<void> {
    const enough = new AbortController();
    const patience = sleep(this.#clock, leftMs, enough.signal).catch(() => {});
    await Promise.race([looking.catch(() => {}), patience]);
    enough.abort();
  }
}
