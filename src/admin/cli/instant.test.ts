import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isoText } from "./text.ts";
import { parseInstant } from "./instant.ts";

const NOON = Date.UTC(2026, 10, 21, 12);
const parsed = (text: string, offset = 0): string | undefined => {
  const result = parseInstant(text, NOON, () => offset);
  return result.ok ? isoText(result.value) : undefined;
};

test("a time of day is the next one, a day and a time are that, in the local zone or the one written", () => {
  assert.equal(parsed("13:30"), "2026-11-21T13:30:00.000Z");
  assert.equal(parsed("11:59"), "2026-11-22T11:59:00.000Z");
  assert.equal(parsed("12:00"), "2026-11-22T12:00:00.000Z");
  assert.equal(parsed("12:30", 60), "2026-11-22T11:30:00.000Z");
  assert.equal(parsed("2026-12-01 06:00", 60), "2026-12-01T05:00:00.000Z");
  assert.equal(parsed("2026-12-01T06:00:05Z", 60), "2026-12-01T06:00:05.000Z");
  assert.equal(parsed("2026-12-01T06:00+0230"), "2026-12-01T03:30:00.000Z");
  assert.equal(parsed("2028-02-29"), "2028-02-29T00:00:00.000Z");
  for (const wrong of ["", "soon", "25:00", "2026-02-29 10:00", "2026-13-01", "10:00Z", "12:60"])
    assert.equal(parsed(wrong), undefined, wrong);
});

test("every instant that is written out is read back as it was", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
      const result = parseInstant(isoText(seconds * 1000).replace(".000", ""), NOON, () => 0);
      assert.equal(result.ok && result.value, seconds * 1000);
    }),
  );
});
