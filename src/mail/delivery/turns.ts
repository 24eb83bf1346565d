/**
 * Who may work: so many at once in all, and so many for one key. Whoever is over the number of its key waits without holding
 * up others, and those who wait get their turn in the order in which they came.
 */
export class Turns {
  readonly #most: number;
  readonly #mostPerKey: number;
  readonly #active = new Map<string, number>();
  #total = 0;
  #waiting: { readonly key: string; readonly go: () => void }[] = [];

  constructor(most: number, mostPerKey: number) {
    this.#most = most;
    this.#mostPerKey = mostPerKey;
  }

  /** `patience`: when it is aborted before the turn has come, there is none, and this rejects with its reason. */
  async take<Value>(key: string, work: () => Promise<Value>, patience?: AbortSignal): Promise<Value> {
    if (this.#mayGo(key)) this.#enter(key);
    else await this.#turn(key, patience);
    try {
      return await work();
    } finally {
      this.#leave(key);
    }
  }

  async #turn(key: string, patience: AbortSignal | undefined): Promise<void> {
    const turn = Promise.withResolvers<void>();
    const waiter = { key, go: turn.resolve };
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

  #mayGo(key: string): boolean {
    return this.#total < this.#most && (this.#active.get(key) ?? 0) < this.#mostPerKey;
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
    const next = this.#waiting.findIndex((each) => this.#mayGo(each.key));
    const [taken] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (taken === undefined) return;
    this.#enter(taken.key);
    taken.go();
  }
}
