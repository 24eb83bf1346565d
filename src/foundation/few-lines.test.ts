import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../simulator/clock.ts";
import { fewLines } from "./few-lines.ts";

test("a few lines of each span go through; how many did not is told when the next span begins", async () => {
  const clock = virtualClock(0);
  const told: string[] = [];
  const say = fewLines({ most: 2, inMs: 1000 }, clock, (line) => told.push(line));
  for (const line of ["a", "b", "c", "d"]) say(line);
  await clock.advance(999);
  say("e");
  assert.deepEqual(told.splice(0), ["a", "b"]);
  await clock.advance(1);
  say("f");
  assert.deepEqual(told.splice(0), ["(3 lines before this one were left out)", "f"]);
  await clock.advance(1000);
  say("g");
  assert.deepEqual(told, ["g"]);
});
