import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { civilTime, daysFromCivil, formatDateTime, formatRfc3339, parseRfc3339 } from "./date-time.ts";

test("a date is written as RFC 5322 section 3.3 has it, in the zone that is given", () => {
  const at = Date.UTC(2025, 10, 21, 2, 5, 9, 999);
  assert.equal(formatDateTime(at, 0), "Fri, 21 Nov 2025 02:05:09 +0000");
  assert.equal(formatDateTime(at, 60), "Fri, 21 Nov 2025 03:05:09 +0100");
  assert.equal(formatDateTime(at, -210), "Thu, 20 Nov 2025 22:35:09 -0330");
  assert.equal(formatDateTime(Date.UTC(2024, 1, 29), 0), "Thu, 29 Feb 2024 00:00:00 +0000");
});

const instants = fc.integer({ min: Date.UTC(1, 0, 1), max: Date.UTC(9999, 11, 31) });

test("property: the calendar is the platform's", () => {
  fc.assert(
    fc.property(instants, fc.integer({ min: -14 * 60, max: 14 * 60 }), (at, offset) => {
      const date = new Date(at + offset * 60_000);
      assert.deepEqual(civilTime(at, offset), {
        year: date.getUTCFullYear(),
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
        weekday: date.getUTCDay(),
        hour: date.getUTCHours(),
        minute: date.getUTCMinutes(),
        second: date.getUTCSeconds(),
      });
      const days = daysFromCivil(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate());
      assert.equal(days, Math.floor(date.getTime() / 86_400_000));
      if (at >= 0) assert.equal(Date.parse(formatDateTime(at, offset)), Math.floor(at / 1000) * 1000);
    }),
    { numRuns: 500 },
  );
});

test("RFC 3339: offsets, fractions and leap seconds are read", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["1985-04-12T23:20:50.52Z", Date.UTC(1985, 3, 12, 23, 20, 50, 520)],
    ["1996-12-19T16:39:57-08:00", Date.UTC(1996, 11, 20, 0, 39, 57)],
    ["1990-12-31T23:59:60Z", Date.UTC(1991, 0, 1)],
    ["1937-01-01t12:00:27.87+00:20", Date.UTC(1937, 0, 1, 11, 40, 27, 870)],
  ];
  for (const [text, at] of cases) assert.deepEqual(parseRfc3339(text), { ok: true, value: at }, text);
});

test("RFC 3339: days and hours that do not exist are refused", () => {
  for (const text of [
    "2025-02-29T00:00:00Z",
    "2025-13-01T00:00:00Z",
    "2025-00-01T00:00:00Z",
    "2025-04-31T00:00:00Z",
    "2025-01-01T24:00:00Z",
    "2025-01-01T00:60:00Z",
    "2025-01-01T00:00:61Z",
    "2025-01-01T00:00:00",
    "2025-01-01 00:00:00Z",
    "2025-01-01T00:00:00+24:00",
    "",
  ])
    assert.ok(!parseRfc3339(text).ok, text);
});

test("property: RFC 3339 is read back as it was written", () => {
  fc.assert(
    fc.property(instants, (at) => {
      assert.deepEqual(parseRfc3339(formatRfc3339(at)), { ok: true, value: Math.floor(at / 1000) * 1000 });
    }),
  );
});
