import { addressOfPath } from "../../protocol/address/path.ts";
import type { FilterNotice } from "../filter/filter.ts";
import { filterFactsOf } from "./filter-facts.ts";
import type { Action, Input, Session, Transaction, World } from "./state.ts";

/**
 * What a step means to filters that want to hear what they are not asked: seen from outside, by where the session stood, what
 * it heard, and what it answers.
 */
export function notesOf(
  world: World,
  before: Session,
  input: Input,
  next: Session,
  actions: readonly Action[],
): readonly Action[] {
  const notices: FilterNotice[] = [];
  const { facts } = next;
  if (input.kind === "tls-started") notices.push({ notice: "tls", facts: filterFactsOf(world, facts) });
  notices.push(...loginNotices(world, before, input, next));
  const code = finalCode(actions);
  const outcome = code === undefined ? undefined : code < 400 ? "ok" : code < 500 ? "tempfail" : "permfail";
  const transaction = transactionOf(next) ?? transactionOf(before);
  const about = filterFactsOf(world, facts, transaction);
  if (outcome !== undefined && isAnswerTo(next, input)) {
    if (next.after === "MAIL") notices.push({ notice: "mail", outcome, facts: about });
    const recipient = recipientOf(before, input, next);
    if (next.after === "RCPT" && recipient !== undefined)
      notices.push({ notice: "rcpt", outcome, recipient, facts: about });
    if (next.after === "DATA") notices.push({ notice: "data", outcome, facts: about });
  }
  if (input.kind === "committed" && before.phase.at === "committing") {
    const { id, sizeBytes } = before.phase.message;
    notices.push({ notice: "commit", message: id, sizeBytes });
  } else if (transactionOf(before) !== undefined && isOver(next))
    notices.push({ notice: "rollback", message: transactionOf(before)?.message });
  if (input.kind === "command" && input.command.verb === "RSET") notices.push({ notice: "reset" });
  if (input.kind === "timeout") notices.push({ notice: "timeout" });
  return notices.map((notice) => ({ do: "note", notice }));
}

function loginNotices(world: World, before: Session, input: Input, next: Session): readonly FilterNotice[] {
  const isLogin = input.kind === "checked" || input.kind === "response" || input.kind === "command";
  if (!isLogin) return [];
  const about = filterFactsOf(world, next.facts);
  if (next.facts.account !== undefined && before.facts.account === undefined)
    return [{ notice: "auth", facts: about, user: next.facts.account, outcome: "pass" }];
  if (next.authenticationFailures > before.authenticationFailures)
    return [{ notice: "auth", facts: about, user: next.deniedUser ?? "", outcome: "fail" }];
  const isError = input.kind === "checked" && input.answer.kind === "failed";
  return isError ? [{ notice: "auth", facts: about, user: next.deniedUser ?? "", outcome: "error" }] : [];
}

/** Behind MAIL, RCPT and DATA the answer may come a question later. */
function isAnswerTo(next: Session, input: Input): boolean {
  if (input.kind === "judged" || input.kind === "filtered") return true;
  return input.kind === "command" && input.command.verb === next.after;
}

function finalCode(actions: readonly Action[]): number | undefined {
  for (const action of actions) if (action.do === "reply") return action.reply.code;
  return undefined;
}

function recipientOf(before: Session, input: Input, next: Session): string | undefined {
  const { phase } = before;
  if (input.kind === "command" && input.command.verb === "RCPT") return addressOfPath(input.command.to);
  if (phase.at === "judging") return phase.recipient;
  if (phase.at === "filtering" && phase.pending.stage === "rcpt") return phase.pending.recipient;
  return next.phase.at === "transaction" ? next.phase.transaction.recipients.at(-1)?.given : undefined;
}

/** The transaction is gone: a new one may begin, filters are asked about another EHLO, or the session is over. */
function isOver({ phase }: Session): boolean {
  if (phase.at === "filtering") return !("transaction" in phase.pending);
  return phase.at === "ready" || phase.at === "closed";
}

function transactionOf({ phase }: Session): Transaction | undefined {
  if (phase.at === "filtering") return "transaction" in phase.pending ? phase.pending.transaction : undefined;
  return "transaction" in phase ? phase.transaction : undefined;
}
