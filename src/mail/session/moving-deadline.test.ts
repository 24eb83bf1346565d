import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { MovingDeadline } from "./moving-deadline.ts";

test("only the last deadline counts, whether it was moved later or earlier", async () => {
  const clock = virtualClock(0);
  const passed: [string, number][] = [];
  const deadline = new MovingDeadline(clock, (what) => passed.push([what, clock.now()]));
  deadline.expect(1000, "first");
  await clock.advance(900);
  deadline.expect(1000, "second");
  await clock.advance(999);
  assert.deepEqual(passed, []);
  await clock.advance(1);
  assert.deepEqual(passed, [["second", 1900]]);
  deadline.expect(5000, "late");
  deadline.expect(100, "early");
  await clock.advance(100);
  assert.deepEqual(passed.at(-1), ["early", 2000]);
  await clock.advance(60_000);
  assert.equal(passed.length, 2);
});

test("a deadline that is moved with every packet sets no timer for it", async () => {
  const clock = virtualClock(0);
  let timers = 0;
  const counting = { ...clock, after: (ms: number, call: () => void) => (timers++, clock.after(ms, call)) };
  const deadline = new MovingDeadline(counting, () => {});
  for (let at = 0; at < 1000; at++) deadline.expect(1000 + at, "x");
  assert.equal(timers, 1);
  deadline.cancel();
  assert.equal(clock.nextAt(), undefined);
});
