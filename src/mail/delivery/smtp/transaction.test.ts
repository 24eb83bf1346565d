import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import {
  beginTransaction,
  onChunkSent,
  onContentSent,
  onTransactionLost,
  onTransactionReply,
  type Transaction,
  type TransactionAction,
  type TransactionPlan,
} from "./transaction.ts";

function plan(changes: Partial<TransactionPlan> = {}): TransactionPlan {
  return {
    host: "mx[192.0.2.1]:25",
    mail: "MAIL FROM:<>\r\n",
    recipients: ["RCPT TO:<a@x>\r\n", "RCPT TO:<b@x>\r\n"],
    isPipelined: true,
    isLmtp: false,
    by: "DATA",
    isEager: false,
    needsReset: false,
    isPlaintext: false,
    mayBeEncrypted: false,
    ...changes,
  };
}

const said = (code: number): Reply => ({ code, lines: [""] });

/** Feeds replies; hands the content over whenever asked. Returns what was sent, in order. */
function play(given: TransactionPlan, codes: readonly number[]) {
  const sent: string[] = [];
  const [transaction, first] = beginTransaction(given);
  const obey = (actions: readonly TransactionAction[]): void => {
    for (const action of actions) {
      if (action.do === "send") sent.push(...action.text.split("\r\n").filter((line) => line !== ""));
      else sent.push(`(${action.do})`);
      if (action.do !== "content") continue;
      if (given.by === "DATA") onContentSent(transaction);
      else onChunkSent(transaction, true);
    }
  };
  obey(first);
  for (const code of codes) obey(onTransactionReply(transaction, said(code), false));
  return { transaction, sent };
}

function failuresOf({ fates }: Transaction) {
  return fates.flatMap((fate) => (fate?.is === "failed" ? [fate.failure] : []));
}

test("a pipelined group goes out at once, with DATA as its last", () => {
  const { sent } = play(plan({ needsReset: true }), []);
  assert.deepEqual(sent, ["RSET", "MAIL FROM:<>", "RCPT TO:<a@x>", "RCPT TO:<b@x>", "DATA"]);
});

test("without pipelining each command waits for the answer before it", () => {
  const lockstep = plan({ isPipelined: false, needsReset: true });
  assert.deepEqual(play(lockstep, []).sent, ["RSET"]);
  assert.deepEqual(play(lockstep, [250, 250, 250, 250]).sent.at(-1), "DATA");
  assert.deepEqual(play(lockstep, [250, 250, 550, 550]).sent.at(-1), "(over)");
  assert.deepEqual(play(lockstep, [250, 550]).sent, ["RSET", "MAIL FROM:<>", "(over)"]);
});

test("a host that wants content for nobody gets the end mark alone, and its yes counts for nobody", () => {
  const { transaction, sent } = play(plan(), [250, 550, 450, 354, 250]);
  assert.deepEqual(sent.slice(-2), ["(emptyContent)", "(over)"]);
  assert.deepEqual(
    transaction.fates.map((fate) => (fate?.is === "failed" ? fate.failure.lasting : "accepted")),
    ["permanent", "temporary"],
  );
  assert.equal(transaction.isOpen, false);
});

test("RSET that is refused ends the session, and says nothing for good about the mail behind it", () => {
  for (const isPipelined of [true, false])
    for (const code of [500, 554, 452, 354]) {
      const { transaction } = play(plan({ needsReset: true, isPipelined }), [code]);
      assert.ok(transaction.isOver);
      for (const failure of [transaction.end, ...failuresOf(transaction)]) assert.equal(failure?.lasting, "temporary");
      assert.equal(failuresOf(transaction).length, 2);
    }
});

test("whatever is said, in any order, every recipient has one fate in the end, and a yes only after the content", () => {
  const codes = fc.array(fc.constantFrom(200, 250, 251, 354, 334, 421, 450, 452, 550, 552, 554, 503, 220, 100), {
    maxLength: 14,
  });
  const given = fc.record({
    isPipelined: fc.boolean(),
    isLmtp: fc.boolean(),
    by: fc.constantFrom("DATA" as const, "BDAT" as const),
    needsReset: fc.boolean(),
    before: fc.constantFrom([], ["XFORWARD NAME=a\r\n"]),
    wantsEager: fc.boolean(),
  });
  fc.assert(
    fc.property(given, codes, ({ wantsEager, ...changes }, replies) => {
      const isEager = wantsEager && changes.by === "BDAT" && changes.isPipelined;
      const { transaction, sent } = play(plan({ ...changes, isEager }), replies);
      if (!transaction.isOver) onTransactionLost(transaction, { reason: "closed", text: "" });
      assert.ok(transaction.isOver);
      assert.ok(transaction.fates.every((fate) => fate !== undefined));
      const accepted = transaction.fates.filter((fate) => fate?.is === "accepted");
      if (accepted.length > 0) assert.ok(sent.includes("(content)"));
      for (const fate of accepted) assert.ok(fate?.is === "accepted" && Math.floor(fate.reply.code / 100) === 2);
      assert.ok(sent.filter((line) => line === "(over)").length <= 1);
      assert.deepEqual(onTransactionReply(transaction, said(250), false), []);
    }),
    { numRuns: 2000 },
  );
});

test("who gave us the mail is told in front of MAIL, pipelined or one by one, and a refusal to hear it changes nothing", () => {
  const before = ["XFORWARD NAME=a\r\n", "XFORWARD HELO=b\r\n"];
  const together = play(plan({ before, needsReset: true }), [250, 501, 501, 250, 250, 250, 354, 250]);
  assert.deepEqual(together.sent.slice(0, 4), ["RSET", "XFORWARD NAME=a", "XFORWARD HELO=b", "MAIL FROM:<>"]);
  assert.deepEqual(together.sent.slice(-3), ["DATA", "(content)", "(over)"]);
  assert.ok(together.transaction.fates.every((fate) => fate?.is === "accepted"));

  const lockstep = plan({ before, isPipelined: false });
  assert.deepEqual(play(lockstep, [550]).sent, ["XFORWARD NAME=a", "XFORWARD HELO=b"]);
  assert.equal(play(lockstep, [250, 550]).sent.at(-1), "MAIL FROM:<>");
  assert.equal(play(lockstep, [421]).transaction.end?.lasting, "temporary");
});

test("a host that wants encryption refuses the session, where that is plaintext and another may be encrypted", () => {
  for (const isPipelined of [true, false]) {
    const fallen = plan({ mayBeEncrypted: true, isPipelined });
    const atMail = play(fallen, [530]).transaction;
    assert.ok(atMail.isOver && atMail.end?.lasting === "temporary" && atMail.end.status === "4.0.0");
    assert.deepEqual(lastings(atMail), ["temporary", "temporary"]);
    // Of one recipient it says nothing about the others.
    const atRcpt = play(fallen, [250, 530, 250, 354, 250]).transaction;
    assert.deepEqual([lastings(atRcpt), atRcpt.end], [["temporary", "accepted"], undefined]);
    assert.deepEqual(lastings(play(fallen, [250, 250, 250, 530]).transaction), ["temporary", "temporary"]);
    assert.deepEqual(lastings(play(fallen, [550, 503, 503]).transaction), ["permanent", "permanent"]);
    const encrypted = play(plan({ isPipelined }), [530, 503, 503]).transaction;
    assert.deepEqual(lastings(encrypted), ["permanent", "permanent"]);
  }
});

function lastings({ fates }: Transaction): string[] {
  return fates.map((fate) => (fate?.is === "failed" ? fate.failure.lasting : (fate?.is ?? "none")));
}
