import { test } from "node:test";
import assert from "node:assert/strict";
import { Ledger } from "./ledger.ts";

test("an end of the decrypted stream before any end of the raw one is a close_notify", () => {
  const ledger = new Ledger();
  ledger.decryptedEnded();
  ledger.rawEnded("fin", false);
  assert.deepEqual(ledger.closing(), { peer: "close_notify", we: "open" });
});

test("a FIN alone is a truncation, and one inside a record is said to be so", () => {
  const between = new Ledger();
  between.rawEnded("fin", false);
  between.decryptedEnded();
  assert.equal(between.closing().peer, "truncated");
  const within = new Ledger();
  within.rawEnded("fin", true);
  assert.equal(within.closing().peer, "truncated-mid-record");
});

test("what is known first holds: a reset behind a close_notify does not unsay it", () => {
  const ledger = new Ledger();
  ledger.decryptedEnded();
  ledger.rawEnded("reset", false);
  ledger.failed("later");
  ledger.notAnswered();
  assert.deepEqual(ledger.closing(), { peer: "close_notify", we: "open" });
});

test("a reset, an error and silence are told apart, an error with its reason", () => {
  const [reset, error, silent] = [new Ledger(), new Ledger(), new Ledger()];
  reset.rawEnded("reset", true);
  error.rawEnded("error", false, "read ETIMEDOUT");
  silent.closeNotifySent();
  silent.notAnswered();
  assert.deepEqual(reset.closing(), { peer: "reset", we: "open" });
  assert.deepEqual(error.closing(), { peer: "error", we: "open", because: "read ETIMEDOUT" });
  assert.deepEqual(silent.closing(), { peer: "no-answer", we: "close_notify" });
});

test("we have closed when our close_notify has gone, in full with the FIN; cut is only what had not begun to close", () => {
  const orderly = new Ledger();
  orderly.finSent();
  assert.equal(orderly.closing().we, "open");
  orderly.closeNotifySent();
  orderly.finSent();
  orderly.cut();
  assert.equal(orderly.closing().we, "close_notify+fin");
  const cut = new Ledger();
  cut.cut();
  cut.closeNotifySent();
  assert.equal(cut.closing().we, "cut");
});
