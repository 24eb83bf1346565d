import assert from "node:assert/strict";
import { test } from "node:test";
import { Tally } from "./tally.ts";

test("commands are counted in Postfix's order, with the refused ones told apart", () => {
  const tally = new Tally();
  for (const [verb, isDone] of [
    ["QUIT", true],
    ["RCPT", false],
    ["RCPT", true],
    ["EHLO", true],
    ["MAIL", true],
    ["unknown", false],
  ] as const)
    tally.record(verb, isDone);
  assert.equal(tally.text(), "ehlo=1 mail=1 rcpt=1/2 quit=1 unknown=0/1 commands=4/6");
  assert.equal(new Tally().text(), "commands=0");
});
