import assert from "node:assert/strict";
import { test } from "node:test";
import { ratiosOf, type Figures } from "./ratios.ts";

const figures = (...rates: readonly number[]): Figures[] =>
  rates.map((perSecond) => ({ perSecond, cpuUs: 1e6 / perSecond }));

test("what falls on both in a round does not count, and neither does how many rounds a start had", () => {
  const { rate, cpu } = ratiosOf([
    { ours: figures(1100, 550), theirs: figures(1000, 500) },
    { ours: figures(2200, 110, 1100), theirs: figures(2000, 100, 1000) },
  ]);
  assert.ok(Math.abs(rate.ratio - 1.1) < 1e-9);
  assert.ok(Math.abs(cpu.ratio - 1 / 1.1) < 1e-9);
  assert.ok(rate.error < 1e-9 && cpu.error < 1e-9);
});

test("the error is that of the starts: two that say the opposite say nothing", () => {
  const { rate } = ratiosOf([
    { ours: figures(2000, 2000), theirs: figures(1000, 1000) },
    { ours: figures(1000, 1000), theirs: figures(2000, 2000) },
  ]);
  assert.ok(Math.abs(rate.ratio - 1) < 1e-9);
  assert.deepEqual(
    rate.perStart.map((one) => one.toFixed(2)),
    ["2.00", "0.50"],
  );
  // Half of the distance between their logarithms.
  assert.ok(Math.abs(rate.error - Math.LN2) < 1e-9);
});
