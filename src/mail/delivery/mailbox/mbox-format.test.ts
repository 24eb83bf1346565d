import assert from "node:assert/strict";
import { test } from "node:test";
import { fromLine, separatorAfter } from "./mbox-format.ts";

test("the line that begins a mail has the sender and the time in the old form", () => {
  assert.equal(
    fromLine("a@example.org", Date.UTC(2026, 10, 1, 2, 3, 4)),
    "From a@example.org Sun Nov  1 02:03:04 2026\n",
  );
});

test("the empty sender is exactly MAILER-DAEMON", () => {
  assert.match(fromLine("", 0), /^From MAILER-DAEMON Thu Jan {2}1 00:00:00 1970\n$/);
});

test("blanks and line ends in an address do not break the line", () => {
  assert.equal(fromLine('"a b\n"@example.org', 0), 'From "a_b_"@example.org Thu Jan  1 00:00:00 1970\n');
});

test("a mail is set off from what stands before it by an empty line", () => {
  assert.deepEqual(["", "\n\n", "x\n", "\n", "xx", "\nx"].map(separatorAfter), ["", "", "\n", "\n", "\n\n", "\n\n"]);
});
