import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Timeline } from "./timeline.ts";

test("what is put down happens in the order of its instants, and of one instant in the order of putting down", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 300 }), (instants) => {
      const timeline = new Timeline(0);
      const seen: (readonly [number, number])[] = [];
      for (const [order, at] of instants.entries()) timeline.at(at, () => seen.push([timeline.now, order]));
      while (timeline.size > 0) timeline.next();
      const expected = instants.map((at, order) => [at, order] as const).toSorted((a, b) => a[0] - b[0] || a[1] - b[1]);
      assert.deepEqual(seen, expected);
    }),
  );
});

test("nothing happens in the past, nor between two milliseconds", () => {
  const timeline = new Timeline(1000);
  const seen: number[] = [];
  timeline.at(5, () => seen.push(timeline.now));
  timeline.after(0.3, () => seen.push(timeline.now));
  timeline.next();
  timeline.next();
  assert.deepEqual(seen, [1000, 1001]);
  assert.equal(timeline.nextAt(), Infinity);
});
