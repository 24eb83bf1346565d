import { sleep, type Clock } from "../../../foundation/clock.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { Operation, Store } from "../../queue/store.ts";
import { storeLost, storeRegained } from "../events.ts";

export interface DurableWriterParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Nothing may be handed out from here on. */
  readonly onLost: () => void;
  /** All that waited is written. Reads anew what the store holds; rejects when the store fails again. */
  readonly onRegained: () => Promise<void>;
}

const NO_ROOM_WAIT_MS = 5000;
const SHORTEST_PROBE_MS = 500;
const LONGEST_PROBE_MS = 30_000;

export type Written = "written" | { readonly refused: string };

/**
 * Writes outcomes until they are durable. A store that failed is opened anew by whoever owns it; here we wait for it and
 * then find out, for each batch whose fate is unknown, whether it had been done: a batch that commits a notice or adds
 * envelopes by those, any other by being harmless to repeat (an update or removal says what holds, and a gone envelope stays gone).
 */
export class DurableWriter {
  readonly #parts: DurableWriterParts;
  readonly #pending = new Set<Promise<unknown>>();
  /** Settles when the store answers again; undefined while it is usable. */
  #answers: Promise<void> | undefined;
  #recovery: Promise<void> | undefined;

  constructor(parts: DurableWriterParts) {
    this.#parts = parts;
  }

  /** Refused, and why: surely not done, and never will be. Rejects only when the signal aborts or the store was closed. */
  async write(operations: readonly Operation[]): Promise<Written> {
    const writing = this.#write(operations);
    this.#pending.add(writing);
    try {
      return await writing;
    } finally {
      this.#pending.delete(writing);
    }
  }

  /** Hears of every rejection of the store, whoever's call it was. */
  noteError(thrown: unknown): void {
    if (codeOf(thrown) === "SPOOL_FAILED") this.#lose(thrown);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#recovery;
  }

  async #write(operations: readonly Operation[]): Promise<Written> {
    const { store, clock, signal } = this.#parts;
    let isUncertain = false;
    for (;;) {
      try {
        await this.#answers;
        signal.throwIfAborted();
        if (isUncertain && (await this.#wasDone(operations))) return "written";
        await store.apply(operations);
        return "written";
      } catch (thrown) {
        signal.throwIfAborted();
        const code = codeOf(thrown);
        if (code === "SPOOL_REFUSED") return { refused: messageOf(thrown) };
        if (code === "STORE_CLOSED") throw thrown;
        if (code === "SPOOL_FULL") await sleep(clock, NO_ROOM_WAIT_MS, signal);
        else {
          isUncertain = true;
          this.#lose(thrown);
        }
      }
    }
  }

  async #wasDone(operations: readonly Operation[]): Promise<boolean> {
    for (const operation of operations) {
      if (operation.do === "commit") return (await this.#parts.store.message(operation.message.id)) !== undefined;
      const added = operation.do === "add" ? operation.envelopes[0] : undefined;
      if (added !== undefined) return (await this.#parts.store.envelopes([added.envelope.id])).length > 0;
    }
    return false;
  }

  #lose(thrown: unknown): void {
    if (this.#answers !== undefined) return;
    const { clock, emit, onLost } = this.#parts;
    emit(storeLost, { problem: messageOf(thrown), unwritten: this.#pending.size });
    const lostAt = clock.monotonicMs();
    this.#answers = this.#probe();
    // A probe ends by an answer or by the abort, which those who wait look at themselves.
    this.#recovery ??= this.#recover(lostAt);
    onLost();
  }

  async #recover(lostAt: number): Promise<void> {
    const { clock, emit, signal, onRegained } = this.#parts;
    for (;;) {
      await this.#answers;
      this.#answers = undefined;
      while (this.#pending.size > 0 && this.#answers === undefined && !signal.aborted)
        await Promise.race([Promise.allSettled(this.#pending), sleep(clock, LONGEST_PROBE_MS, signal).catch(() => {})]);
      if (signal.aborted) return;
      if (this.#answers !== undefined) continue;
      try {
        await onRegained();
        break;
      } catch (thrown) {
        this.#lose(thrown);
      }
    }
    this.#recovery = undefined;
    emit(storeRegained, { waited: Math.round(clock.monotonicMs() - lostAt) });
  }

  /** Asks until the store answers. */
  async #probe(): Promise<void> {
    const { store, clock, signal } = this.#parts;
    for (let waitMs = SHORTEST_PROBE_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_PROBE_MS)) {
      await sleep(clock, waitMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await store.list({ limit: 1 });
        return;
      } catch {
        // Still closed: asked again after a longer wait.
      }
    }
  }
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof PosthornError ? thrown.code : undefined;
}
