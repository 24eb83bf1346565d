import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import type { Failure } from "../../envelope/failure.ts";
import {
  asksForTls,
  lostFailure,
  replyFailure,
  sessionFailure,
  wantsTls,
  type During,
  type Ended,
} from "./failures.ts";

/**
 * One transaction, MAIL to the end of the content (RFC 5321 section 3.3), as a machine: pipelined where the next host
 * offers it (RFC 2920), by DATA or BDAT (RFC 3030), with one answer for all recipients or, over LMTP, one for each
 * (RFC 2033 section 4.2).
 *
 * Replies come in the order of what was sent; `waiting` is that order. A recipient's fate, once told, stays: a connection
 * that is lost later takes nothing back. The state changes in place, since a hundred recipients would otherwise be
 * copied a hundred times.
 */
export interface TransactionPlan {
  readonly host: string;
  /** Who gave us the mail, said in front of MAIL, each command with its CRLF. The answers change nothing. */
  readonly before?: readonly string[] | undefined;
  readonly mail: string;
  readonly recipients: readonly string[];
  readonly isPipelined: boolean;
  readonly isLmtp: boolean;
  readonly by: "DATA" | "BDAT";
  /** The content goes out with the commands, without waiting for their answers (BDAT only). */
  readonly isEager: boolean;
  /** The last transaction was left in the middle. */
  readonly needsReset: boolean;
  readonly isPlaintext: boolean;
  /** The session is plaintext, and another one to this host may be encrypted. */
  readonly mayBeEncrypted: boolean;
}

type Sent =
  | { readonly is: "RSET" | "MAIL" | "DATA" | "end" }
  | { readonly is: "RCPT" | "XFORWARD"; readonly index: number }
  | { readonly is: "BDAT"; readonly isLast: boolean };

/** What became of one recipient. */
export type Fate =
  | { readonly is: "accepted"; readonly reply: Reply }
  | { readonly is: "failed"; readonly failure: Failure };

export interface Transaction {
  readonly plan: TransactionPlan;
  readonly waiting: Sent[];
  readonly fates: (Fate | undefined)[];
  /** Recipients that were accepted by RCPT, in order; over LMTP each gets an answer of its own in the end. */
  readonly accepted: number[];
  /** MAIL was accepted and the transaction is not yet over at the other side. */
  isOpen: boolean;
  /** How far the content is: before it, on its way, or all handed over. */
  content: "before" | "running" | "sent" | "dropped";
  /** The answer for LMTP's next recipient is for `accepted[finals]`. */
  finals: number;
  isOver: boolean;
  /** Set when the session cannot go on: what it says about the host. */
  end: Failure | undefined;
  /** Replies so far. None at all on a kept connection means that it had been closed before we began. */
  replies: number;
}

export type TransactionAction =
  | { readonly do: "send"; readonly text: string }
  /** Hand over the content, in the plan's way; afterwards tell `onContentSent`. */
  | { readonly do: "content" }
  /** The host wants content although nobody accepted it: the end mark alone. */
  | { readonly do: "emptyContent" }
  | { readonly do: "stopContent" }
  | { readonly do: "over" };

export function beginTransaction(plan: TransactionPlan): readonly [Transaction, readonly TransactionAction[]] {
  const transaction: Transaction = {
    plan,
    waiting: [],
    fates: Array.from<undefined>({ length: plan.recipients.length }),
    accepted: [],
    isOpen: false,
    content: "before",
    finals: 0,
    isOver: false,
    end: undefined,
    replies: 0,
  };
  if (!plan.isPipelined)
    return [transaction, [sendNext(transaction, plan.needsReset ? { is: "RSET" } : firstOf(plan))]];
  let text = plan.needsReset ? "RSET\r\n" : "";
  if (plan.needsReset) transaction.waiting.push({ is: "RSET" });
  for (const [index, command] of (plan.before ?? []).entries()) {
    text += command;
    transaction.waiting.push({ is: "XFORWARD", index });
  }
  text += plan.mail;
  transaction.waiting.push({ is: "MAIL" });
  for (const [index, recipient] of plan.recipients.entries()) {
    text += recipient;
    transaction.waiting.push({ is: "RCPT", index });
  }
  if (plan.by === "DATA") {
    // RFC 2920 section 3.1: DATA may only be the last of a group.
    text += "DATA\r\n";
    transaction.waiting.push({ is: "DATA" });
  }
  if (!plan.isEager) return [transaction, [{ do: "send", text }]];
  transaction.content = "running";
  return [transaction, [{ do: "send", text }, { do: "content" }]];
}

/** `hasUnsent`: what we wrote last has not even left us, so that this cannot be an answer to the end of the content. */
export function onTransactionReply(
  transaction: Transaction,
  reply: Reply,
  hasUnsent: boolean,
): readonly TransactionAction[] {
  if (transaction.isOver) return [];
  transaction.replies++;
  const { plan, waiting } = transaction;
  const isForEnd = waiting[0] !== undefined && duringOf(waiting[0]) === "end of DATA" && transaction.content === "sent";
  if ((plan.by === "DATA" && transaction.content === "running") || (isForEnd && hasUnsent))
    return onEarlyReply(transaction, reply);
  const sent = waiting.shift();
  if (sent === undefined) return breakOff(transaction, unexpected(transaction, reply));
  // RFC 5321 section 3.8: 421 ends the session, whatever it answers.
  if (reply.code === 421) return breakOff(transaction, replyFailure(reply, duringOf(sent), plan.host));
  switch (sent.is) {
    case "RSET":
      // It is about what went before: the mail that begins here has not been asked for yet.
      if (!isPositive(reply)) return breakOff(transaction, sessionFailure(reply, "RSET", plan.host));
      return plan.isPipelined ? [] : [sendNext(transaction, firstOf(plan))];
    case "XFORWARD": {
      const index = sent.index + 1;
      const next =
        index < (plan.before?.length ?? 0) ? ({ is: "XFORWARD", index } as const) : ({ is: "MAIL" } as const);
      return plan.isPipelined ? [] : [sendNext(transaction, next)];
    }
    case "MAIL":
      return onMail(transaction, reply);
    case "RCPT":
      return onRcpt(transaction, sent.index, reply);
    case "DATA":
      return onData(transaction, reply);
    case "BDAT":
      return onBdat(transaction, sent.isLast, reply);
    case "end":
      return onFinal(transaction, reply);
    default:
      return [];
  }
}

/** The driver handed over a chunk by BDAT. */
export function onChunkSent(transaction: Transaction, isLast: boolean): void {
  transaction.waiting.push({ is: "BDAT", isLast });
  if (isLast) transaction.content = "sent";
}

/** The driver handed over all content and the end mark of DATA. */
export function onContentSent(transaction: Transaction): void {
  transaction.waiting.push({ is: "end" });
  transaction.content = "sent";
}

/** Our side could not read the content: nothing can be said to the host but the end of the connection. */
export function onContentBroken(transaction: Transaction, text: string): readonly TransactionAction[] {
  if (transaction.isOver) return [];
  const failure: Failure = {
    lasting: "temporary",
    status: "4.3.0",
    cause: { kind: "internal", text },
    host: transaction.plan.host,
  };
  return breakOff(transaction, failure);
}

export function onTransactionLost(transaction: Transaction, ended: Ended): readonly TransactionAction[] {
  if (transaction.isOver) return [];
  return breakOff(transaction, lostFailure(ended, waitingFor(transaction), transaction.plan.host));
}

/** What the session waits for now; decides the deadline. */
export function waitingFor(transaction: Transaction): During {
  const [sent] = transaction.waiting;
  if (transaction.content === "running" && (transaction.plan.by === "DATA" || sent === undefined)) return "content";
  return sent === undefined ? "content" : duringOf(sent);
}

function duringOf(sent: Sent): During {
  if (sent.is === "end") return "end of DATA";
  if (sent.is === "BDAT" && sent.isLast) return "end of DATA";
  return sent.is;
}

function onMail(transaction: Transaction, reply: Reply): readonly TransactionAction[] {
  const { plan } = transaction;
  if (isPositive(reply)) {
    transaction.isOpen = true;
    return plan.isPipelined ? [] : [sendNext(transaction, { is: "RCPT", index: 0 })];
  }
  const failure = refusal(plan, reply, "MAIL");
  // Whatever else is handed to this session would be told the same.
  if (isAboutPlaintext(plan, reply)) return breakOff(transaction, failure);
  failRest(transaction, failure);
  return plan.isPipelined ? [] : over(transaction);
}

function onRcpt(transaction: Transaction, index: number, reply: Reply): readonly TransactionAction[] {
  const { plan, accepted, fates } = transaction;
  if (isPositive(reply) && fates[index] === undefined) accepted.push(index);
  else fates[index] ??= { is: "failed", failure: refusal(plan, reply, "RCPT") };
  const isLast = index === plan.recipients.length - 1;
  if (!plan.isPipelined && !isLast) return [sendNext(transaction, { is: "RCPT", index: index + 1 })];
  if (!isLast || transaction.content !== "before") return [];
  if (plan.by === "DATA" && plan.isPipelined) return [];
  if (accepted.length === 0) return over(transaction);
  if (plan.by === "DATA") return [sendNext(transaction, { is: "DATA" })];
  transaction.content = "running";
  return [{ do: "content" }];
}

function onData(transaction: Transaction, reply: Reply): readonly TransactionAction[] {
  const { plan, accepted } = transaction;
  if (reply.code !== 354) {
    failRest(transaction, refusal(plan, reply, "DATA"));
    return over(transaction);
  }
  if (accepted.length > 0) {
    transaction.content = "running";
    return [{ do: "content" }];
  }
  // RFC 2920 section 3.1: the host is lenient; it gets no content, and whatever it says counts for nobody.
  transaction.content = "dropped";
  transaction.waiting.push({ is: "end" });
  return [{ do: "emptyContent" }];
}

function onBdat(transaction: Transaction, isLast: boolean, reply: Reply): readonly TransactionAction[] {
  if (transaction.content === "dropped") return transaction.waiting.length === 0 ? over(transaction) : [];
  if (isLast) return onFinal(transaction, reply);
  if (isPositive(reply)) return [];
  // RFC 3030 section 4.2: after a refused chunk the rest is not wanted; RSET clears the table.
  failRest(transaction, replyFailure(reply, "BDAT", transaction.plan.host));
  const wasRunning = transaction.content === "running";
  transaction.content = "dropped";
  return [
    ...(wasRunning ? [{ do: "stopContent" } as const] : []),
    ...(transaction.waiting.length === 0 ? over(transaction) : []),
  ];
}

function onFinal(transaction: Transaction, reply: Reply): readonly TransactionAction[] {
  const { plan, accepted, fates } = transaction;
  if (transaction.content === "dropped" || accepted.length === 0) {
    // The end mark of DATA closes the transaction whatever the answer; a refused BDAT leaves it open.
    if (plan.by === "DATA") transaction.isOpen = false;
    return over(transaction);
  }
  const fate: Fate = isPositive(reply)
    ? { is: "accepted", reply }
    : { is: "failed", failure: replyFailure(reply, "end of DATA", plan.host) };
  if (!plan.isLmtp) {
    for (const index of accepted) fates[index] ??= fate;
    transaction.isOpen = plan.by === "BDAT" && !isPositive(reply);
    return over(transaction);
  }
  const index = accepted[transaction.finals];
  if (index !== undefined) fates[index] ??= fate;
  transaction.finals++;
  if (transaction.finals < accepted.length) {
    transaction.waiting.push({ is: "end" });
    return [];
  }
  transaction.isOpen = false;
  return over(transaction);
}

/** A reply in the middle of DATA: a refusal that would not wait, usually followed by the end of the connection. */
function onEarlyReply(transaction: Transaction, reply: Reply): readonly TransactionAction[] {
  if (reply.code < 400) return breakOff(transaction, unexpected(transaction, reply));
  return breakOff(transaction, replyFailure(reply, "end of DATA", transaction.plan.host));
}

function unexpected(transaction: Transaction, reply: Reply): Failure {
  const text = `a reply nobody asked for: ${replyText(reply)}`;
  return lostFailure({ reason: "protocol", text }, waitingFor(transaction), transaction.plan.host, reply);
}

/** The session ends here; who has no fate yet gets this one. What it says about the host is never lasting. */
function breakOff(transaction: Transaction, failure: Failure): readonly TransactionAction[] {
  const wasRunning = transaction.content === "running";
  transaction.end =
    failure.lasting === "temporary"
      ? failure
      : { ...failure, lasting: "temporary", status: `4${failure.status.slice(1)}` };
  if (wasRunning) transaction.content = "dropped";
  failRest(transaction, failure);
  return [...(wasRunning ? [{ do: "stopContent" } as const] : []), ...over(transaction)];
}

/** Before the content a host that wants encryption has refused the session; a recipient may have a host of its own behind it. */
function refusal(plan: TransactionPlan, reply: Reply, during: During): Failure {
  const tell = isAboutPlaintext(plan, reply) ? sessionFailure : replyFailure;
  return tell(reply, during, plan.host);
}

function isAboutPlaintext({ isPlaintext, mayBeEncrypted }: TransactionPlan, reply: Reply): boolean {
  return (mayBeEncrypted && wantsTls(reply)) || (isPlaintext && asksForTls(reply));
}

function failRest(transaction: Transaction, failure: Failure): void {
  const { fates } = transaction;
  for (let index = 0; index < fates.length; index++) fates[index] ??= { is: "failed", failure };
}

function over(transaction: Transaction): readonly TransactionAction[] {
  transaction.isOver = true;
  return [{ do: "over" }];
}

function sendNext(transaction: Transaction, sent: Exclude<Sent, { is: "BDAT" | "end" }>): TransactionAction {
  transaction.waiting.push(sent);
  const { before, mail, recipients } = transaction.plan;
  const text = "index" in sent ? (sent.is === "RCPT" ? recipients : before)?.[sent.index] : undefined;
  return { do: "send", text: sent.is === "MAIL" ? mail : (text ?? `${sent.is}\r\n`) };
}

/** What a transaction begins with. */
function firstOf({ before = [] }: TransactionPlan): Sent & { readonly is: "MAIL" | "XFORWARD" } {
  return before.length > 0 ? { is: "XFORWARD", index: 0 } : { is: "MAIL" };
}

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}
