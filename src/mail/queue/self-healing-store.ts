import { sleep, type Clock } from "../../foundation/clock.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { emitNothing, type Emit } from "../../foundation/events.ts";
import * as events from "./events.ts";
import type { Store, StoreCounters } from "./store.ts";

/**
 * A store that outlives failures of the disk. When the store inside fails (`SPOOL_FAILED`), it is closed and opened
 * anew from disk, with waits that double, until that succeeds; meanwhile every call rejects with `SPOOL_FAILED`, which
 * clients see as 451. Nothing is handed to the disk a second time: whoever was told of the failure reads the state
 * anew (`onRecovered`) and decides from that.
 *
 * `shortest` and `longest` wait: 1 s and 1 min. The first opening is not repeated: it rejects, for the start to fail.
 */
export async function selfHealingStore(open: () => Promise<Store>, options: SelfHealingOptions): Promise<Store> {
  return new SelfHealingStore(await open(), open, options);
}

export interface SelfHealingOptions {
  /** For the events. */
  readonly directory: string;
  readonly clock: Clock;
  readonly emit?: Emit | undefined;
  /** Called before anybody else can use the recovered store; what the scheduler believes must be read anew here. */
  readonly onRecovered?: ((store: Store) => Promise<void> | void) | undefined;
}

const SHORTEST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;

class SelfHealingStore implements Store {
  readonly #open: () => Promise<Store>;
  readonly #options: SelfHealingOptions;
  readonly #emit: Emit;
  readonly #stop = new AbortController();
  #inner: Store;
  /** Why the store inside cannot be used; undefined while it can. */
  #down: PosthornError | undefined;
  #recovery: Promise<void> = Promise.resolve();
  /** What the stores before this one had done. */
  #before = { commits: 0, syncs: 0 };

  constructor(inner: Store, open: () => Promise<Store>, options: SelfHealingOptions) {
    this.#inner = inner;
    this.#open = open;
    this.#options = options;
    this.#emit = options.emit ?? emitNothing;
  }

  apply: Store["apply"] = (batch) => this.#use((store) => store.apply(batch));
  notes: Store["notes"] = (prefix) => this.#use((store) => store.notes(prefix));
  message: Store["message"] = (id) => this.#use((store) => store.message(id));
  envelopes: Store["envelopes"] = (ids) => this.#use((store) => store.envelopes(ids));
  body: Store["body"] = (id) => this.#use((store) => store.body(id));
  list: Store["list"] = (filter) => this.#use((store) => store.list(filter));
  page: Store["page"] = (filter, behind) => this.#use((store) => store.page(filter, behind));
  census: Store["census"] = (now) => this.#use((store) => store.census(now));
  attempts: Store["attempts"] = (id) => this.#use((store) => store.attempts(id));

  async *load(): ReturnType<Store["load"]> {
    if (this.#down !== undefined) throw this.#down;
    const store = this.#inner;
    try {
      yield* store.load();
    } catch (thrown) {
      this.#onError(store, thrown);
      throw thrown;
    }
  }

  /** A backup that fails says nothing about the store: most often the other disk is to blame. */
  async backup(into: string): ReturnType<Store["backup"]> {
    if (this.#down !== undefined) throw this.#down;
    return this.#inner.backup(into);
  }

  counters(): StoreCounters {
    const inner = this.#inner.counters();
    return { ...inner, commits: this.#before.commits + inner.commits, syncs: this.#before.syncs + inner.syncs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#recovery;
    await this.#inner[Symbol.asyncDispose]();
  }

  async #use<Value>(call: (store: Store) => Promise<Value>): Promise<Value> {
    if (this.#down !== undefined) throw this.#down;
    const store = this.#inner;
    try {
      return await call(store);
    } catch (thrown) {
      this.#onError(store, thrown);
      throw thrown;
    }
  }

  #onError(store: Store, thrown: unknown): void {
    if (!(thrown instanceof PosthornError) || thrown.code !== "SPOOL_FAILED") return;
    // Many callers hear of one failure; and some hear of it when the next store is open already.
    if (this.#down !== undefined || store !== this.#inner) return;
    this.#down = thrown;
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    const { clock, directory, onRecovered } = this.#options;
    const failedAt = clock.monotonicMs();
    for (let waitMs = SHORTEST_WAIT_MS; !this.#stop.signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      const before = this.counters();
      let next: Store | undefined;
      try {
        await this.#inner[Symbol.asyncDispose]();
        next = await this.#open();
        await onRecovered?.(next);
        this.#before = { commits: before.commits, syncs: before.syncs };
        this.#inner = next;
        this.#down = undefined;
        this.#emit(events.storeRecovered, { directory, closedFor: Math.round(clock.monotonicMs() - failedAt) });
        return;
      } catch (thrown) {
        await next?.[Symbol.asyncDispose]();
        this.#emit(events.storeNotRecovered, { directory, problem: messageOf(thrown), retryIn: waitMs });
        await sleep(clock, waitMs, this.#stop.signal).catch(() => {});
      }
    }
  }
}
