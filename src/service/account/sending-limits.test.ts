import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { virtualClock } from "../../simulator/clock.ts";
import { parseSendingLimit, SendingLimits } from "./sending-limits.ts";

const HOUR = 3_600_000;
const rate = (count: number, perMs = HOUR) => ({ count, perMs });

test("an account sends up to its limit, and goes on as time passes", async () => {
  const clock = virtualClock(HOUR * 500);
  const limits = new SendingLimits(clock);
  for (let n = 0; n < 10; n++) assert.equal(limits.spend("ada", "messages", rate(10)).ok, true);
  const full = limits.spend("ada", "messages", rate(10));
  assert.ok(full.ok === false);
  assert.equal(full.limit, "messages 10/h");
  assert.ok(full.againAt > clock.now() && full.againAt <= clock.now() + HOUR);
  assert.equal(limits.spend("bob", "messages", rate(10)).ok, true);
  assert.equal(limits.spend("ada", "recipients", rate(10)).ok, true);
  await clock.advance(full.againAt - clock.now());
  assert.equal(limits.spend("ada", "messages", rate(10)).ok, true);
});

test("another writing of an account's name is no account with limits of its own", () => {
  const limits = new SendingLimits(virtualClock(HOUR * 500));
  assert.equal(limits.spend("ada", "messages", rate(1)).ok, true);
  for (const name of ["Ada", "ada.", "a\u00adda", "ad\u00e0", " ada"])
    assert.equal(limits.spend(name, "messages", rate(1)).ok, false, JSON.stringify(name));
  assert.equal(limits.clear("ADA"), 1);
});

test("whatever the times, no window holds more than the limit and a twelfth of its length", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: HOUR }), { maxLength: 60 }), async (waits) => {
      const clock = virtualClock(HOUR * 500);
      const limits = new SendingLimits(clock);
      const sentAt: number[] = [];
      for (const wait of waits) {
        await clock.advance(wait);
        if (limits.spend("a", "recipients", rate(5)).ok === true) sentAt.push(clock.now());
        const inWindow = sentAt.filter((at) => at > clock.now() - (HOUR * 11) / 12);
        assert.ok(inWindow.length <= 5);
        if (sentAt.filter((at) => at > clock.now() - HOUR - 1).length < 5)
          assert.equal(limits.spend("a", "messages", rate(100_000)).ok, true);
      }
    }),
    { numRuns: 50 },
  );
});

test("what is shown is what was sent, the nearest to its limit first; clearing begins anew", () => {
  const limits = new SendingLimits(virtualClock(HOUR * 500));
  limits.spend("ada", "messages", rate(2));
  limits.spend("bob", "messages", rate(1));
  limits.spend("bob", "messages", rate(1));
  assert.deepEqual(
    limits.shown().map(({ account, sent, limit, refused }) => [account, sent, limit, refused]),
    [
      ["bob", 1, 1, 1],
      ["ada", 1, 2, 0],
    ],
  );
  assert.equal(limits.clear("bob"), 1);
  assert.equal(limits.spend("bob", "messages", rate(1)).ok, true);
});

test("a clock that is set back frees nobody and locks nobody out for longer", () => {
  let now = HOUR * 500;
  const limits = new SendingLimits({ ...virtualClock(0), now: () => now });
  assert.equal(limits.spend("ada", "messages", rate(1)).ok, true);
  now -= 10 * HOUR;
  assert.equal(limits.spend("ada", "messages", rate(1)).ok, false);
  now += 12 * HOUR;
  assert.equal(limits.spend("ada", "messages", rate(1)).ok, true);
});

test("an account's own limits are read from a table", () => {
  assert.deepEqual(parseSendingLimit("messages=10/h recipients=50/d"), {
    ok: true,
    value: { messages: rate(10), recipients: rate(50, 24 * HOUR) },
  });
  assert.deepEqual(parseSendingLimit("none"), { ok: true, value: {} });
  for (const bad of ["", "10/h", "messages=", "messages=0/h", "mails=1/h"])
    assert.equal(parseSendingLimit(bad).ok, false, bad);
});
