import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "./clock.ts";

test("time stands still until it is moved, and timers fire in the order of their instants", async () => {
  const clock = virtualClock(1000);
  const fired: string[] = [];
  clock.after(30, () => fired.push(`c ${clock.now()}`));
  clock.after(10, () => fired.push(`a ${clock.now()}`));
  clock.after(10, () => fired.push(`b ${clock.now()}`));
  const cancelled = clock.after(20, () => fired.push("never"));
  cancelled.cancel();
  await clock.advance(25);
  assert.deepEqual(fired, ["a 1010", "b 1010"]);
  assert.equal(clock.now(), 1025);
  assert.equal(clock.nextAt(), 1030);
  assert.equal(await clock.advanceToNext(), true);
  assert.deepEqual(fired.at(-1), "c 1030");
  assert.equal(await clock.advanceToNext(), false);
});

test("what a timer starts sees the world at its own instant", async () => {
  const clock = virtualClock(0);
  const seen: number[] = [];
  clock.after(10, () => void Promise.resolve().then(() => clock.after(10, () => seen.push(clock.now()))));
  await clock.advance(100);
  assert.deepEqual(seen, [20]);
});

test("thousands of timers set in disorder fire in order", async () => {
  const clock = virtualClock(0);
  const seen: number[] = [];
  for (let index = 0; index < 2000; index++) clock.after((index * 7919) % 2003, () => seen.push(clock.now()));
  await clock.advance(3000);
  assert.equal(seen.length, 2000);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
});
