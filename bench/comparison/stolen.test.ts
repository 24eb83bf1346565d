import assert from "node:assert/strict";
import { test } from "node:test";
import { calmest, processorTime, processorTimeOf, stolenShare } from "./stolen.ts";

test("what the host took is the eighth time of all processors, and what guests had does not count twice", () => {
  const before = processorTimeOf("cpu  100 0 50 800 10 0 20 20 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
  const after = processorTimeOf("cpu  150 0 60 820 10 0 30 40 90 0\n");
  assert.deepEqual(before, { all: 1000, stolen: 20 });
  assert.equal(stolenShare(before, after), 20 / 110);
  assert.equal(stolenShare(after, after), 0);
});

test("this machine tells its times", () => {
  const { all, stolen } = processorTime();
  assert.ok(all > 0 && stolen >= 0 && stolen < all);
});

test("a sample is taken again while too much was stolen, four times at most, and the calmest counts", async () => {
  const from = (...shares: number[]): (() => Promise<{ stolen: number; at: number }>) => {
    let at = 0;
    return () => Promise.resolve({ stolen: shares[at] ?? 1, at: ++at });
  };
  assert.deepEqual(await calmest(0.05, from(0.05)), { stolen: 0.05, at: 1 });
  assert.deepEqual(await calmest(0.05, from(0.3, 0.02)), { stolen: 0.02, at: 2 });
  assert.deepEqual(await calmest(0.05, from(0.3, 0.2, 0.1, 0.4, 0)), { stolen: 0.1, at: 3 });
  assert.deepEqual(await calmest(1, from(0.9)), { stolen: 0.9, at: 1 });
});
