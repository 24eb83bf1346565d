import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatDuration, formatRate, formatSize, parseDuration, parseRate, parseSize } from "./units.ts";

test("a duration is read with its unit, several units added", () => {
  for (const [text, ms] of [
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["4d", 345_600_000],
    ["250ms", 250],
    ["5min", 300_000],
    ["1.5s", 1500],
  ] as const) {
    assert.deepEqual(parseDuration(text), { ok: true, value: ms });
  }
});

test("a duration without a unit, or with an unknown one, is refused", () => {
  for (const text of ["", "5", "5 m", "m", "5y", "5m!", "-5m"]) assert.equal(parseDuration(text).ok, false, text);
});

test("a duration that is written is read back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (ms) =>
      assert.deepEqual(parseDuration(formatDuration(ms)), { ok: true, value: ms }),
    ),
  );
});

test("sizes count in powers of 1024", () => {
  for (const [text, bytes] of [
    ["1000", 1000],
    ["32KiB", 32_768],
    ["32K", 32_768],
    ["50 MB", 52_428_800],
    ["1GiB", 1_073_741_824],
  ] as const) {
    assert.deepEqual(parseSize(text), { ok: true, value: bytes });
  }
  for (const text of ["", "K", "1.5M", "-1", "1T", "1kb"]) assert.equal(parseSize(text).ok, false, text);
  assert.equal(formatSize(32_768), "32KiB");
  assert.equal(formatSize(1000), "1000");
});

test("a rate is so many in a time, and one that is written is read back", () => {
  for (const [text, count, perMs] of [
    ["100/min", 100, 60_000],
    ["5/s", 5, 1000],
    ["2000/1h", 2000, 3_600_000],
    ["10 / 30s", 10, 30_000],
  ] as const)
    assert.deepEqual(parseRate(text), { ok: true, value: { count, perMs } });
  for (const text of ["", "5", "/min", "0/s", "5/0s", "5/fortnight", "-1/s", "1.5/s"])
    assert.equal(parseRate(text).ok, false, text);
  assert.equal(formatRate({ count: 5, perMs: 1000 }), "5/s");
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 86_400_000 }), (count, perMs) =>
      assert.deepEqual(parseRate(formatRate({ count, perMs })), { ok: true, value: { count, perMs } }),
    ),
  );
});
