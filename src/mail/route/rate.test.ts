import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isIdle, newBucket, nextTokenAt, spendToken, tokensIn } from "./rate.ts";

/** Spends as soon as it may, at the given instants of asking; gives the instants of spending. */
function spendAll(rate: { count: number; perMs: number }, asked: readonly number[]): number[] {
  const bucket = newBucket(rate);
  const spent: number[] = [];
  let now = 0;
  for (const at of asked) {
    now = Math.max(now, at);
    now = nextTokenAt(bucket, now);
    assert.ok(tokensIn(bucket, now) > 0, "at the instant it names there is a token");
    spendToken(bucket, now);
    spent.push(now);
  }
  return spent;
}

const rates = fc.record({
  count: fc.integer({ min: 1, max: 300 }),
  perMs: fc.constantFrom(1000, 7000, 60_000, 3_600_000),
});
const gaps = fc.array(fc.oneof(fc.constant(0), fc.nat(50), fc.nat(5000), fc.nat(600_000)), { maxLength: 800 });

test("in no stretch of time as long as the period is the rate exceeded", () => {
  fc.assert(
    fc.property(rates, gaps, (rate, waits) => {
      let at = 0;
      const spent = spendAll(
        rate,
        waits.map((wait) => (at += wait)),
      );
      for (let n = rate.count; n < spent.length; n++)
        assert.ok((spent[n] ?? 0) - (spent[n - rate.count] ?? 0) >= rate.perMs, `mail ${n} came too early`);
    }),
  );
});

test("nothing waits longer than the rate demands, but for a sixty-fourth of the period at high rates", () => {
  fc.assert(
    fc.property(rates, gaps, (rate, waits) => {
      let at = 0;
      const asked = waits.map((wait) => (at += wait));
      const spent = spendAll(rate, asked);
      const grainMs = rate.count > 64 ? rate.perMs / 64 + 1 : 0;
      spent.forEach((when, n) => {
        const earliest = Math.max(
          asked[n] ?? 0,
          spent[n - 1] ?? 0,
          n < rate.count ? 0 : (spent[n - rate.count] ?? 0) + rate.perMs,
        );
        assert.ok(when <= earliest + grainMs, `mail ${n} went at ${when} rather than ${earliest}`);
      });
    }),
  );
});

test("what a bucket remembers is bounded, however high the rate", () => {
  const bucket = newBucket({ count: 100_000, perMs: 3_600_000 });
  for (let now = 0; now < 8_000_000; now += 40) {
    if (tokensIn(bucket, now) > 0) spendToken(bucket, now);
    assert.ok(bucket.spentAt.length <= 130);
  }
});

test("a rate that is lowered counts what went before; one that is raised lets more go at once", () => {
  const bucket = newBucket({ count: 10, perMs: 60_000 });
  for (let n = 0; n < 10; n++) spendToken(bucket, n * 1000);
  bucket.rate = { count: 5, perMs: 60_000 };
  assert.equal(tokensIn(bucket, 10_000), 0);
  assert.equal(nextTokenAt(bucket, 10_000), 65_000);
  bucket.rate = { count: 20, perMs: 60_000 };
  assert.equal(tokensIn(bucket, 10_000), 10);
  assert.equal(nextTokenAt(bucket, 10_000), 10_000);
  assert.equal(isIdle(bucket, 60_000), false);
  assert.equal(isIdle(bucket, 70_000), true);
});
