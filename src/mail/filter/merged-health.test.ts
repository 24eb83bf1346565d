import assert from "node:assert/strict";
import { test } from "node:test";
import { mergedHealth } from "./merged-health.ts";

test("what several processes say of a filter is one line: sums, the mean over all, and down if one is", () => {
  const common = { name: "scan", text: "127.0.0.1:3310" };
  assert.deepEqual(
    mergedHealth([
      [{ ...common, state: "up", asked: 3, failures: 0, meanMs: 10 }],
      [{ ...common, state: "down", asked: 2, failures: 1, meanMs: 30, lastFailure: { at: 5, text: "refused" } }],
      [{ ...common, name: "other", state: "untried", asked: 0, failures: 0 }],
    ]),
    [
      { ...common, state: "down", asked: 5, failures: 1, meanMs: 15, lastFailure: { at: 5, text: "refused" } },
      { ...common, name: "other", state: "untried", asked: 0, failures: 0 },
    ],
  );
});
