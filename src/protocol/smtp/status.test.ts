import { test } from "node:test";
import assert from "node:assert/strict";
import { formatStatus, parseStatus, statusMeaning } from "./status.ts";

test("RFC 3463 section 2: a status has three numbers without leading zeros", () => {
  for (const text of ["2.0.0", "4.7.28", "5.999.999"]) {
    const status = parseStatus(text);
    assert.ok(status.ok, text);
    assert.equal(formatStatus(status.value), text);
  }
  for (const text of ["", "3.0.0", "5.1", "5.1.01", "5.1000.0", "5.1.1 ", "x5.1.1"])
    assert.ok(!parseStatus(text).ok, text);
});

test("a status is told in words, an unregistered detail by its subject", () => {
  assert.equal(statusMeaning("5.1.1"), "no such mailbox");
  assert.equal(statusMeaning("4.1.1"), "no such mailbox");
  assert.equal(statusMeaning("5.1.77"), statusMeaning("5.1.0"));
  assert.equal(statusMeaning("5.77.1"), "unknown status");
  assert.equal(statusMeaning("gibberish"), "unknown status");
});
