import assert from "node:assert/strict";
import test from "node:test";
import { Budget } from "./plan.ts";

test("nothing begins that would, going by the longest of its kind, end after the time", () => {
  let nowMs = 0;
  const budget = new Budget(10, () => nowMs);
  assert.ok(budget.allowsAnother("accept"), "the first of a kind is tried while there is time");
  budget.took("accept", 180_000);
  budget.took("accept", 120_000);
  nowMs = 7 * 60_000;
  assert.ok(budget.allowsAnother("accept"));
  nowMs += 1;
  assert.ok(!budget.allowsAnother("accept"));
  assert.ok(budget.allowsAnother("relay"), "what nobody has seen may be short");
  nowMs = 11 * 60_000;
  assert.ok(!budget.allowsAnother("relay"));
});

test("a part takes what is left of the time of those before it, and leaves the rest to those that follow", () => {
  let nowMs = 0;
  const budget = new Budget(10, () => nowMs);
  budget.begin(0.5);
  budget.took("accept", 60_000);
  nowMs = 4 * 60_000;
  assert.ok(budget.allowsAnother("accept"));
  nowMs += 1;
  assert.ok(!budget.allowsAnother("accept"), "the other half is the next part's");
  budget.begin(1);
  budget.took("relay", 60_000);
  nowMs = 9 * 60_000;
  assert.ok(budget.allowsAnother("relay"));
});
