import assert from "node:assert/strict";
import { test } from "node:test";
import { restartPause } from "./restart-pause.ts";

test("a program that does not last is started after pauses that double, up to a minute", () => {
  let failedStarts = 0;
  const pauses = Array.from({ length: 9 }, () => {
    const next = restartPause(failedStarts, 10, 0);
    ({ failedStarts } = next);
    return next.pauseMs / 1000;
  });
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test("a program that lived for a minute is started soon", () => {
  assert.deepEqual(restartPause(7, 60_000, 0), { failedStarts: 1, pauseMs: 1000 });
});

test("chance shortens a pause by a fifth at most", () => {
  assert.equal(restartPause(0, 0, 0.999_999).pauseMs > 799, true);
});
