import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { addTo, freeAt, openWindow, slide } from "./sliding-window.ts";

const HOUR = 3_600_000;

test("what was added leaves within its time and a twelfth, and not before eleven twelfths of it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 1, max: 2 * HOUR }), (at, later) => {
      const window = openWindow(HOUR, at);
      addTo(window, 7);
      slide(window, at + later);
      if (later < (HOUR * 11) / 12) assert.equal(window.sum, 7);
      if (later >= HOUR) assert.equal(window.sum, 0);
    }),
  );
});

test("when room was promised there is room, and a moment before there was none", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: HOUR / 4 }), fc.integer({ min: 1, max: 9 })), {
        minLength: 1,
        maxLength: 20,
      }),
      fc.integer({ min: 1, max: 9 }),
      (added, wanted) => {
        let now = 500 * HOUR;
        const window = openWindow(HOUR, now);
        for (const [wait, amount] of added) {
          now += wait;
          slide(window, now);
          addTo(window, amount);
        }
        const before = window.sum;
        const need = Math.min(wanted, before);
        const at = freeAt(window, need);
        assert.ok(at > now && at <= now + HOUR);
        slide(window, at - 1);
        assert.ok(before - window.sum < need);
        slide(window, at);
        assert.ok(before - window.sum >= need);
      },
    ),
  );
});

test("a clock that is set back forgets nothing", () => {
  const window = openWindow(HOUR, 500 * HOUR);
  addTo(window, 3);
  slide(window, 400 * HOUR);
  assert.equal(window.sum, 3);
});
