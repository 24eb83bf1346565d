import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../simulator/clock.ts";
import { sleep } from "./clock.ts";
import { DeadlinePassed, withDeadline } from "./deadline.ts";

test("work that does not listen is left behind at its deadline", async () => {
  const clock = virtualClock(0);
  let signal: AbortSignal | undefined;
  const cut = assert.rejects(
    withDeadline(clock, 1000, "the greeting", (given) => {
      signal = given;
      return new Promise(() => {});
    }),
    (error) => error instanceof DeadlinePassed && error.what === "the greeting" && error.limitMs === 1000,
  );
  await clock.advance(999);
  assert.equal(signal?.aborted, false);
  await clock.advance(1);
  assert.equal(signal?.aborted, true);
  await cut;
});

test("work in time gives its value and leaves no timer behind", async () => {
  const clock = virtualClock(0);
  assert.equal(await withDeadline(clock, 1000, "x", async () => 7), 7);
  assert.equal(clock.nextAt(), undefined);
});

test("an outer end cuts the work short with its own reason", async () => {
  const clock = virtualClock(0);
  const outer = new AbortController();
  const cut = assert.rejects(
    withDeadline(clock, 1000, "x", () => new Promise(() => {}), outer.signal),
    /stopping/,
  );
  outer.abort(new Error("stopping"));
  await cut;
});

test("a sleep ends at its time, or at once with the reason when it is aborted", async () => {
  const clock = virtualClock(0);
  let isAwake = false;
  void sleep(clock, 500).then(() => (isAwake = true));
  await clock.advance(499);
  assert.equal(isAwake, false);
  await clock.advance(1);
  assert.equal(isAwake, true);
  const outer = new AbortController();
  const cut = assert.rejects(sleep(clock, 500, outer.signal), /enough/);
  outer.abort(new Error("enough"));
  await cut;
  assert.equal(clock.nextAt(), undefined);
});
