/** How many may work, and wait. */
export interface Bounds {
  /** At once, in all. */
  readonly most: number;
  /** Of them, for one key; left out: as many as in all. */
  readonly mostPerKey?: number;
  /** Who waits, for one key; left out: as many as come. Only `tryTake` asks for it. */
  readonly mostWaiting?: number;
}

interface Waiter {
  readonly key: string;
  readonly bounds: Bounds;
  readonly go: () => void;
}

interface TurnOptions {
  /** Whose turn it is; left out: one key for all. */
  readonly key?: string;
  /** When it is aborted before the turn has come, there is none, and the taking rejects with its reason. */
  readonly patience?: AbortSignal;
  /** For this one, instead of those for all: settings change. */
  readonly bounds?: Bounds;
}

/**
 * Who may work: so many at once in all, and so many for one key. Whoever is over the number of its key waits without holding
 * up others, and those who wait get their turn in the order in which they came.
 */
export class Turns {
  readonly #bounds: Bounds;
  readonly #active = new Map<string, number>();
  #total = 0;
  #waiting: Waiter[] = [];

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /** However many wait. */
  async take<Value>(
    work: () => Promise<Value>,
    { key = "", patience, bounds = this.#bounds }: TurnOptions = {},
  ): Promise<Value> {
    if (this.#mayGo(key, bounds)) this.#enter(key);
    else await this.#turn(key, patience, bounds);
    try {
      return await work();
    } finally {
      this.#leave(key);
    }
  }

  /** Undefined: too many wait already, and the work is not done. */
  async tryTake<Value>(work: () => Promise<Value>, options: TurnOptions = {}): Promise<Value | undefined> {
    const { key = "", bounds = this.#bounds } = options;
    const { mostWaiting } = bounds;
    const isFull =
      mostWaiting !== undefined &&
      !this.#mayGo(key, bounds) &&
      this.#waiting.filter((each) => each.key === key).length >= mostWaiting;
    return isFull ? undefined : this.take(work, options);
  }

  async #turn(key: string, patience: AbortSignal | undefined, bounds: Bounds): Promise<void> {
    patience?.throwIfAborted();
    const turn = Promise.withResolvers<void>();
    const waiter = { key, bounds, go: turn.resolve };
    const giveUp = (): void => {
      const at = this.#waiting.indexOf(waiter);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      turn.reject(patience?.reason);
    };
    this.#waiting.push(waiter);
    patience?.addEventListener("abort", giveUp, { once: true });
    try {
      await turn.promise;
    } finally {
      patience?.removeEventListener("abort", giveUp);
    }
  }

  #mayGo(key: string, { most, mostPerKey = most }: Bounds): boolean {
    return this.#total < most && (this.#active.get(key) ?? 0) < mostPerKey;
  }

  #enter(key: string): void {
    this.#total++;
    this.#active.set(key, (this.#active.get(key) ?? 0) + 1);
  }

  #leave(key: string): void {
    this.#total--;
    const rest = (this.#active.get(key) ?? 1) - 1;
    if (rest === 0) this.#active.delete(key);
    else this.#active.set(key, rest);
    const next = this.#waiting.findIndex((each) => this.#mayGo(each.key, each.bounds));
    const [taken] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (taken === undefined) return;
    this.#enter(taken.key);
    taken.go();
  }
}
