import assert from "node:assert/strict";
import { test } from "node:test";
import { delaysText, delayText } from "./delay.ts";

test("a delay is written in seconds with two significant digits, as Postfix does", () => {
  for (const [ms, text] of [
    [0, "0"],
    [4, "0"],
    [12, "0.01"],
    [100, "0.1"],
    [214, "0.21"],
    [996, "1"],
    [1234, "1.2"],
    [9949, "9.9"],
    [9960, "10"],
    [12_700, "13"],
    [3_600_000, "3600"],
    [-5, "0"],
  ] as const)
    assert.equal(delayText(ms), text, `${ms} ms`);
});

test("delays are the times before it was due, in the line, connecting, transmitting", () => {
  const delays = { totalMs: 210, beforeMs: 10, waitingMs: 0, connectMs: 100, transmitMs: 100 };
  assert.equal(delaysText(delays), "0.01/0/0.1/0.1");
});
