import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_MAKERS } from "../../foundation/ids.ts";
import { processCounts } from "./process-counts.ts";

test("one process receives for each core, and one sends for two", () => {
  assert.deepEqual(processCounts({}, 1), { ingress: 1, egress: 1 });
  assert.deepEqual(processCounts({}, 2), { ingress: 2, egress: 1 });
  assert.deepEqual(processCounts({}, 3), { ingress: 3, egress: 2 });
  assert.deepEqual(processCounts({}, 8), { ingress: 8, egress: 4 });
});

test("what the settings say goes before", () => {
  assert.deepEqual(processCounts({ ingress: 1 }, 8), { ingress: 1, egress: 4 });
  assert.deepEqual(processCounts({ egress: 7 }, 2), { ingress: 2, egress: 7 });
});

test("on a machine with many cores, those of two versions of the settings have numbers for their ids beside the scheduler", () => {
  for (const cores of [16, 31, 64, 256]) {
    const { ingress, egress } = processCounts({}, cores);
    assert.ok(2 * ingress < MOST_MAKERS, `${ingress} that receive`);
    assert.ok(egress <= ingress);
  }
});
