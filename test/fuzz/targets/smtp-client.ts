import assert from "node:assert/strict";
import {
  beginOpening,
  onOpeningInput,
  type OpeningAction,
  type OpeningInput,
  type OpeningPlan,
} from "../../../src/mail/delivery/smtp/opening.ts";
import {
  beginTransaction,
  onChunkSent,
  onContentSent,
  onTransactionLost,
  onTransactionReply,
  type Transaction,
  type TransactionAction,
} from "../../../src/mail/delivery/smtp/transaction.ts";
import { ReplyParser } from "../../../src/protocol/smtp/reply-parser.ts";
import type { Reply } from "../../../src/protocol/smtp/reply.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const TLS = ["never", "may", "starttls", "implicit"] as const;
const RECIPIENTS = ["RCPT TO:<a@x>\r\n", "RCPT TO:<b@x>\r\n", "RCPT TO:<c@x>\r\n"];

/**
 * The client's side of SMTP against a server that says whatever it likes. The first byte chooses how the session is made, the rest is what
 * the server sends. Each command is one line; no login without TLS; where TLS must be nothing but EHLO and STARTTLS goes in the clear;
 * each recipient has one fate in the end, a yes only after the content and a reply of its own.
 */
export const target: FuzzTarget = {
  seeds: [
    "\x01220 mx\r\n250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
    "\x05220 mx\r\n502 no\r\n250 mx\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n450 later\r\n354 go\r\n250 2.0.0 queued\r\n",
    "\x19220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 a\r\n550 b\r\n452 c\r\n",
    "\x41220 mx\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
    "\x00421 4.3.2 busy\r\n",
    "\x00554 no\r\n",
  ],
  tokens: [
    "220 go\r\n",
    "250 ok\r\n",
    "250-",
    "354 go\r\n",
    "421 bye\r\n",
    "550 5.1.1 no\r\n",
    "452 4.5.3 later\r\n",
    "235 in\r\n",
    "334 cmVhbG0=\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN LOGIN\r\n",
    "SIZE 10\r\n",
    "503 bad\r\n",
    "100 x\r\n",
  ],
  run(bytes) {
    const how = bytes[0] ?? 0;
    const parser = new ReplyParser();
    const replies = parser.push(bytes.subarray(1)).flatMap((event) => (event.kind === "reply" ? [event.reply] : []));
    const plan: OpeningPlan = {
      protocol: (how & 8) !== 0 ? "lmtp" : "smtp",
      helo: "us.example",
      tls: TLS[how & 3] ?? "may",
      mustVerify: false,
      hasCredentials: (how & 4) !== 0,
      isConfidential: false,
      host: "mx[192.0.2.1]:25",
    };
    const left = open(plan, replies);
    if (left !== undefined) send(left, how);
  },
};

/** The replies that the opening has left over, when it got to the end. */
function open(plan: OpeningPlan, replies: readonly Reply[]): readonly Reply[] | undefined {
  let [opening, action] = beginOpening(plan);
  const inputs: OpeningInput[] = [];
  let at = 0;
  for (let steps = 0; steps < 4 * replies.length + 20; steps++) {
    check(plan, opening.isEncrypted, action);
    if (action?.do === "ready") return replies.slice(at);
    if (action?.do === "fail" || action?.do === "another") return undefined;
    if (action?.do === "startTls") inputs.push({ on: "encrypted" });
    if (action?.do === "beginAuth") inputs.push({ on: "response", text: "AGEAYg==", isFirst: true });
    if (action?.do === "answerChallenge") inputs.push({ on: "response", text: "YQ==", isFirst: false });
    let input = inputs.shift();
    const reply = replies[at];
    if (input === undefined && reply !== undefined) {
      input = { on: "reply", reply };
      at++;
    }
    if (input === undefined) return undefined;
    [opening, action] = onOpeningInput(opening, input);
  }
  throw new Error("an opening without end");
}

function check(plan: OpeningPlan, isEncrypted: boolean, action: OpeningAction | undefined): void {
  if (action?.do === "send") {
    assert.match(action.text, /^[^\r\n]+\r\n$/);
    if (plan.tls === "starttls" && !isEncrypted) assert.match(action.text, /^(?:EHLO|HELO|LHLO|STARTTLS)/);
  }
  if (action?.do === "beginAuth" && action.mechanism !== "CRAM-MD5") assert.ok(isEncrypted, "a login in the clear");
  if (action?.do === "ready" && plan.tls === "starttls") assert.ok(isEncrypted);
}

function send(replies: readonly Reply[], how: number): void {
  const isPipelined = (how & 16) !== 0;
  const by = (how & 32) !== 0 ? "BDAT" : "DATA";
  const [transaction, first] = beginTransaction({
    host: "mx[192.0.2.1]:25",
    mail: "MAIL FROM:<s@x>\r\n",
    recipients: RECIPIENTS,
    isPipelined,
    isLmtp: (how & 8) !== 0,
    by,
    isEager: by === "BDAT" && isPipelined && (how & 64) !== 0,
    needsReset: (how & 128) !== 0,
    isPlaintext: (how & 64) !== 0,
    mayBeEncrypted: (how & 64) !== 0,
  });
  let isContentSent = false;
  const obey = (actions: readonly TransactionAction[]): void => {
    for (const action of actions) {
      if (action.do === "send") assert.match(action.text, /^(?:[^\r\n]+\r\n)+$/);
      if (action.do !== "content") continue;
      assert.ok(!isContentSent, "the content twice");
      isContentSent = true;
      if (by === "DATA") onContentSent(transaction);
      else onChunkSent(transaction, true);
    }
  };
  obey(first);
  for (const reply of replies) {
    obey(onTransactionReply(transaction, reply, false));
    judge(transaction, isContentSent);
  }
  obey(onTransactionLost(transaction, { reason: "reset", text: "gone" }));
  assert.ok(transaction.isOver);
  assert.ok(
    transaction.fates.every((fate) => fate !== undefined),
    "each has a fate in the end",
  );
}

function judge(transaction: Transaction, isContentSent: boolean): void {
  for (const fate of transaction.fates) {
    if (fate?.is !== "accepted") continue;
    assert.ok(isContentSent, "a yes before the content");
    assert.ok(fate.reply.code >= 200 && fate.reply.code < 300);
  }
}
