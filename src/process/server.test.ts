import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../simulator/clock.ts";
import { stopTime } from "./server.ts";

test("the parts of a stop share one deadline; each has a moment to end in when it is used up, and none when there is none", async () => {
  const clock = virtualClock(0);
  const left = stopTime(clock, 25_000);
  assert.equal(left(), 25_000);
  await clock.advance(20_000);
  assert.equal(left(), 5000);
  await clock.advance(20_000);
  assert.equal(left(), 2000);
  assert.equal(stopTime(clock, 0)(), 0);
});
