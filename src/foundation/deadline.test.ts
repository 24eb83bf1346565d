import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../simulator/clock.ts";
import { sleep } from "./clock.ts";
import { DeadlinePassed, withDeadline, withDeadlineIfWaiting, withLimit, type Cut, type Limit } from "./deadline.ts";

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

test("work that is done at once makes nobody wait; what is not has its deadline", async () => {
  const clock = virtualClock(0);
  assert.equal(
    withDeadlineIfWaiting(clock, 1000, "x", () => 7),
    7,
  );
  assert.equal(clock.nextAt(), undefined);
  const cut = assert.rejects(
    async () => await withDeadlineIfWaiting(clock, 1000, "x", () => new Promise(() => {})),
    DeadlinePassed,
  );
  await clock.advance(1000);
  await cut;
  assert.throws(
    () =>
      withDeadlineIfWaiting(clock, 1000, "x", () => {
        throw new Error("broken");
      }),
    /broken/,
  );
  assert.equal(clock.nextAt(), undefined);
});

test("work may ask whether its limit is over, and for a signal, before and behind it", async () => {
  const clock = virtualClock(0);
  let limit: Limit | undefined;
  const waits = (): Promise<unknown> =>
    withLimit(clock, 1000, "x", (given) => {
      limit = given;
      return new Promise(() => {});
    });
  const early = assert.rejects(waits(), DeadlinePassed);
  const signal = limit?.signal;
  assert.deepEqual([limit?.isOver, signal?.aborted, signal === limit?.signal], [false, false, true]);
  await clock.advance(1000);
  await early;
  assert.deepEqual([limit?.isOver, signal?.aborted], [true, true]);
  const late = assert.rejects(waits(), DeadlinePassed);
  await clock.advance(1000);
  await late;
  assert.ok(limit?.signal.aborted && limit.signal.reason instanceof DeadlinePassed);
});

test("several waits are cut together, and what has ended is none of them", async () => {
  const clock = virtualClock(0);
  const underWay = new Set<Cut>();
  const never = (): Promise<number> => withLimit(clock, 1000, "x", () => new Promise(() => {}), underWay);
  assert.equal(await withLimit(clock, 1000, "x", async () => 7, underWay), 7);
  await assert.rejects(
    withLimit(clock, 1000, "x", () => Promise.reject(new Error("wrong")), underWay),
    /wrong/,
  );
  assert.equal(underWay.size, 0);
  const cut = [assert.rejects(never(), /closed/), assert.rejects(never(), /closed/)];
  assert.equal(underWay.size, 2);
  for (const each of underWay) each(new Error("closed"));
  await Promise.all(cut);
  assert.deepEqual([underWay.size, clock.nextAt()], [0, undefined]);
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
