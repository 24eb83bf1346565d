import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualClock } from "../simulator/clock.ts";
import type { Clock } from "./clock.ts";
import { MovingTimer } from "./moving-timer.ts";

test("a deadline is met when it was not moved, and once", async () => {
  const clock = virtualClock(0);
  let met = 0;
  new MovingTimer(clock, () => met++).set(1000);
  await clock.advance(999);
  assert.equal(met, 0);
  await clock.advance(1);
  assert.equal(met, 1);
  await clock.advance(10_000);
  assert.equal(met, 1);
});

test("what counts is the last deadline that was set, be it later or earlier, and none after it was cleared", async () => {
  const step = fc.record({
    do: fc.constantFrom("set" as const, "clear" as const, "stop" as const, "wait" as const, "wait" as const),
    ms: fc.integer({ min: 1, max: 50 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const clock = virtualClock(0);
      const met: number[] = [];
      const expected: number[] = [];
      const timer = new MovingTimer(clock, () => met.push(clock.now()));
      let dueAt: number | undefined;
      let at = 0;
      for (const one of [...steps, { do: "wait", ms: 100 } as const]) {
        if (one.do === "set") {
          timer.set(one.ms);
          dueAt = at + one.ms;
        } else if (one.do === "wait") {
          at += one.ms;
          if (dueAt !== undefined && dueAt <= at) {
            expected.push(dueAt);
            dueAt = undefined;
          }
          await clock.advance(one.ms);
        } else {
          timer[one.do]();
          dueAt = undefined;
        }
      }
      assert.deepEqual(met, expected);
    }),
  );
});

test("a deadline that is moved away a thousand times costs the clock one timer", () => {
  const clock = virtualClock(0);
  let timers = 0;
  const counting: Clock = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    after(delayMs, callback) {
      timers++;
      return clock.after(delayMs, callback);
    },
  };
  const timer = new MovingTimer(counting, () => {});
  for (let count = 0; count < 1000; count++) {
    timer.set(1000 + count);
    timer.clear();
  }
  assert.equal(timers, 1);
});
