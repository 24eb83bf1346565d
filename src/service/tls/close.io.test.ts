import { test } from "node:test";
import assert from "node:assert/strict";
import { Lingering } from "./close.io.ts";

test("closes under way have a bound, beyond which the oldest is cut", () => {
  const lingering = new Lingering(2);
  const cut: string[] = [];
  const ends = ["a", "b", "c", "d"].map((name) => (): void => void cut.push(name));
  for (const end of ends.slice(0, 3)) lingering.add(end);
  assert.deepEqual(cut, ["a"]);
  const second = ends[1];
  if (second !== undefined) lingering.remove(second);
  if (ends[3] !== undefined) lingering.add(ends[3]);
  assert.deepEqual(cut, ["a"]);
});
