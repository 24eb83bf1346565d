import assert from "node:assert/strict";
import test from "node:test";
import { Figures, median } from "./figures.ts";

test("the median of an even number of samples is between the two in the middle", () => {
  assert.equal(median([9, 1, 4]), 4);
  assert.equal(median([9, 1, 4, 2]), 3);
  assert.ok(Number.isNaN(median([])));
});

test("a figure is the median of its cell's samples, and what was not measured is undefined", () => {
  const figures = new Figures();
  for (const value of [100, 300, 200]) figures.add("accept", "10 sessions", "rate", "Postfix", value);
  figures.add("accept", "10 sessions", "cpu", "Postfix", 7);
  assert.equal(figures.of("accept", "10 sessions", "rate", "Postfix"), 200);
  assert.equal(figures.of("accept", "10 sessions", "rate", "Exim"), undefined);
  assert.equal(figures.of("relay", "10 sessions", "rate", "Postfix"), undefined);
  assert.deepEqual(
    figures.rowsOf("accept").map(({ measure }) => measure),
    ["rate", "cpu"],
  );
});

test("a note is told once", () => {
  const figures = new Figures();
  for (const _ of [1, 2]) figures.note("tls", "OpenSMTPD has none");
  assert.deepEqual(figures.notesOf("tls"), ["OpenSMTPD has none"]);
});
