import assert from "node:assert/strict";
import { test } from "node:test";
import { statsText } from "./show-stats.ts";

test("counters have what people look for first, then the rest, then failures by how many", () => {
  const text = statsText([
    { name: "delivered", total: 5, lastMinute: 1, lastHour: 4 },
    { name: "failure connect", total: 1, lastMinute: 0, lastHour: 1 },
    { name: "failure reply", total: 7, lastMinute: 0, lastHour: 1 },
    { name: "sessions", total: 3, lastMinute: 0, lastHour: 3 },
  ]);
  assert.deepEqual(
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/)[0]),
    [
      "WHAT",
      "queued",
      "delivered",
      "deferred",
      "bounced",
      "expired",
      "dead",
      "sessions",
      "failure reply",
      "failure connect",
    ],
  );
  assert.match(text, /^delivered +5 +1 +4$/m);
});
