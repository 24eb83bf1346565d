import type { Clock, Timer } from "../foundation/clock.ts";

/**
 * Virtual time. It stands still until `advance` moves it; timers fire in the order of their instants, and those of one
 * instant in the order they were set. Between two timers the microtasks and immediates that the first one caused are
 * run, so what a timer starts sees the world at its own instant.
 */
export interface VirtualClock extends Clock {
  /** Moves time forward, firing what falls due, and lets what that started come to rest. */
  advance(byMs: number): Promise<void>;
  /** Moves to the next timer, if any; tells whether there was one. */
  advanceToNext(): Promise<boolean>;
  /** The next timer's instant, or undefined when nothing waits. */
  nextAt(): number | undefined;
}

interface Waiting {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
  isCancelled: boolean;
}

export function virtualClock(startAt: number): VirtualClock {
  let nowAt = startAt;
  let order = 0;
  // A binary heap by (at, order): scenarios set millions of timers.
  const heap: Waiting[] = [];

  const isBefore = (a: Waiting, b: Waiting): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
  const push = (waiting: Waiting): void => {
    let at = heap.push(waiting) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(waiting, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = waiting;
  };
  const pop = (): Waiting | undefined => {
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? right : left;
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = child === left ? 2 * at + 1 : 2 * at + 2;
    }
    heap[at] = last;
    return first;
  };
  const peek = (): Waiting | undefined => {
    while (heap[0]?.isCancelled === true) pop();
    return heap[0];
  };

  const fireUntil = async (untilAt: number): Promise<void> => {
    await rest();
    for (let next = peek(); next !== undefined && next.at <= untilAt; next = peek()) {
      pop();
      nowAt = Math.max(nowAt, next.at);
      next.callback();
      await rest();
    }
    nowAt = Math.max(nowAt, untilAt);
  };

  return {
    now: () => nowAt,
    monotonicMs: () => nowAt - startAt,
    after(delayMs, callback): Timer {
      const waiting: Waiting = { at: nowAt + Math.max(0, delayMs), order: order++, callback, isCancelled: false };
      push(waiting);
      return {
        cancel: () => {
          waiting.isCancelled = true;
        },
      };
    },
    advance: (byMs) => fireUntil(nowAt + byMs),
    async advanceToNext() {
      await rest();
      const next = peek();
      if (next === undefined) return false;
      await fireUntil(next.at);
      return true;
    },
    nextAt: () => peek()?.at,
  };
}

/** Lets promises and streams that are ready come to rest: several turns, for a stream takes more than one. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}
