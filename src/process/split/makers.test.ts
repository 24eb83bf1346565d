import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_MAKERS } from "../../foundation/ids.ts";
import { freeMakers } from "./makers.ts";

test("those that receive get the lowest numbers that nobody has, and never the scheduler's", () => {
  assert.deepEqual(freeMakers([], 2), [1, 2]);
  assert.deepEqual(freeMakers([0, 0, 1, 3], 3), [2, 4, 5]);
  assert.deepEqual(freeMakers([], MOST_MAKERS - 1).at(-1), MOST_MAKERS - 1);
});

test("where some would be left without a number, nobody gets one", () => {
  const taken = Array.from({ length: 29 }, (_, index) => index + 1);
  assert.deepEqual(freeMakers(taken, 2), [30, 31]);
  assert.throws(() => freeMakers(taken, 3), /3 more ingress processes beside 29, with 31 at most/);
});
