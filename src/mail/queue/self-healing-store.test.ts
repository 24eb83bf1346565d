import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageIdOf } from "../../foundation/ids.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { memoryStore } from "./memory-store.ts";
import { selfHealingStore } from "./self-healing-store.ts";
import type { Store } from "./store.ts";
import { commitOf, rejectsWith } from "./store.suite.ts";

const failure = new PosthornError("SPOOL_FAILED", { message: "a sync failed", advice: "" });

/** A store whose disk fails when told so; opening it again succeeds when told so. */
function breakable(): {
  open: () => Promise<Store>;
  break: (opens: boolean) => void;
  mend: () => void;
  opened: number;
} {
  let isBroken = false;
  let opens = true;
  const state = {
    opened: 0,
    async open(): Promise<Store> {
      if (!opens) throw failure;
      isBroken = false;
      state.opened++;
      const inner = memoryStore();
      return {
        ...inner,
        apply: (batch) => (isBroken ? Promise.reject(failure) : inner.apply(batch)),
        message: (id) => (isBroken ? Promise.reject(failure) : inner.message(id)),
        backup: () => Promise.reject(failure),
      };
    },
    break(opensAgain: boolean): void {
      isBroken = true;
      opens = opensAgain;
    },
    mend(): void {
      opens = true;
    },
  };
  return state;
}

function recorder(): { emit: Emit; names: string[] } {
  const names: string[] = [];
  return { names, emit: (event) => void names.push(event.name) };
}

test("a failed store is opened anew, and takes mail again after the caller has read its state", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  const { emit, names } = recorder();
  let reloaded = 0;
  const onRecovered = async (store: Store): Promise<void> => {
    for await (const _portion of store.load()) void _portion;
    reloaded++;
  };
  await using store = await selfHealingStore(disk.open, { directory: "/q", clock, emit, onRecovered });
  await store.apply([commitOf(1)]);
  disk.break(true);
  await rejectsWith("SPOOL_FAILED", store.apply([commitOf(2)]));
  await clock.advance(0);
  assert.deepEqual([disk.opened, reloaded], [2, 1]);
  await store.apply([commitOf(3)]);
  assert.deepEqual(names, ["queue.store-recovered"]);
  assert.equal(store.counters().commits, 2);
});

test("while the store is down every call is refused at once, and opening is tried with growing waits, at most a minute", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  const { emit, names } = recorder();
  await using store = await selfHealingStore(disk.open, { directory: "/q", clock, emit });
  disk.break(false);
  await rejectsWith("SPOOL_FAILED", store.apply([commitOf(1)]));
  await rejectsWith("SPOOL_FAILED", store.message(messageIdOf(1)));
  const waits: number[] = [];
  for (let tries = 0; tries < 9; tries++) {
    const before = clock.monotonicMs();
    await clock.advanceToNext();
    waits.push(clock.monotonicMs() - before);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  disk.mend();
  await clock.advanceToNext();
  await store.apply([commitOf(1)]);
  assert.equal(names.filter((name) => name === "queue.store-not-recovered").length, 10);
});

test("one failure told to many callers is one recovery", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  await using store = await selfHealingStore(disk.open, { directory: "/q", clock });
  disk.break(true);
  await Promise.allSettled([1, 2, 3].map((n) => store.apply([commitOf(n)])));
  await clock.advance(0);
  assert.equal(disk.opened, 2);
});

test("a refusal, and a full disk that was taken back, are no reason to close the store", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  await using store = await selfHealingStore(disk.open, { directory: "/q", clock });
  await store.apply([commitOf(1)]);
  await rejectsWith("SPOOL_REFUSED", store.apply([commitOf(1)]));
  await clock.advance(0);
  assert.equal(disk.opened, 1);
  await store.apply([commitOf(2)]);
});

test("a store that cannot be opened at the start is the start's failure", async () => {
  const disk = breakable();
  disk.break(false);
  await rejectsWith("SPOOL_FAILED", selfHealingStore(disk.open, { directory: "/q", clock: virtualClock(0) }));
});

test("closing ends the attempts to recover", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  const store = await selfHealingStore(disk.open, { directory: "/q", clock });
  disk.break(false);
  await rejectsWith("SPOOL_FAILED", store.apply([commitOf(1)]));
  await clock.advance(500);
  await store[Symbol.asyncDispose]();
  assert.equal(clock.nextAt(), undefined);
});

test("a backup that fails does not close the store", async () => {
  const clock = virtualClock(0);
  const disk = breakable();
  await using store = await selfHealingStore(disk.open, { directory: "/q", clock });
  await rejectsWith("SPOOL_FAILED", store.backup("/nowhere"));
  await clock.advance(0);
  assert.equal(disk.opened, 1);
  await store.apply([commitOf(1)]);
});
