import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { smtpClientSettings } from "../settings.ts";
import { runTransaction } from "./run-transaction.io.ts";
import type { Transaction, TransactionPlan } from "./transaction.ts";
import { Wire } from "./wire.io.ts";

const SILENT = { onReply: () => {}, onEnded: () => {} };
const plan: TransactionPlan = {
  host: "mx[192.0.2.1]:25",
  mail: "MAIL FROM:<>\r\n",
  recipients: ["RCPT TO:<a@x>\r\n"],
  isPipelined: false,
  isLmtp: false,
  by: "DATA",
  isEager: false,
  needsReset: false,
  isPlaintext: false,
  mayBeEncrypted: false,
};

/**
 * A host that answers each write at once, before the write is told of as done, as happens under TLS: that takes `turns` of the
 * event loop; undefined: it is never told, for it never left. `leaves`: it hangs up with its last answer.
 */
function hostOver(turns: number | undefined, leaves = false): Duplex {
  const answers = ["250 2.1.0 fine", "250 2.1.5 fine", "354 go on", "250 2.0.0 taken"];
  const stream: Duplex = new Duplex({
    read() {},
    write(_bytes: Buffer, _encoding, done) {
      const answer = answers.shift();
      if (answer !== undefined) stream.push(`${answer}\r\n`);
      const isLast = answers.length === 0;
      if (isLast && leaves) stream.push(null);
      if (turns === undefined && isLast) return;
      const tell = (left: number): void => void (left > 0 ? setImmediate(() => tell(left - 1)) : done());
      tell(turns ?? 0);
    },
  });
  return stream;
}

async function outcome(stream: Duplex, content: Uint8Array): Promise<Transaction> {
  const wire = new Wire(systemClock, stream, SILENT);
  const settings = smtpClientSettings.parse({});
  const transaction = await runTransaction(wire, plan, content, false, { settings });
  stream.destroy();
  return transaction;
}

const content = Buffer.from("Subject: x\r\n\r\nhello\r\n");

test("an answer to the content counts although our write of its end is told of as done only later", async () => {
  for (const turns of [0, 1, 3, 8]) {
    const { fates, end } = await outcome(hostOver(turns), content);
    assert.equal(fates[0]?.is, "accepted", `${turns} turns`);
    assert.equal(end, undefined);
  }
});

test("an answer ahead of an end that never leaves us is none", async () => {
  const { fates, end } = await outcome(hostOver(undefined), content);
  assert.equal(fates[0]?.is, "failed");
  assert.equal(end?.cause.kind, "protocol");
});

test("a host in plaintext that says yes to what never left us, and hangs up, has taken nothing", async () => {
  const { fates } = await outcome(hostOver(undefined, true), content);
  assert.equal(fates[0]?.is, "failed");
});
