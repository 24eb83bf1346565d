import { unreachable } from "../../foundation/assert.ts";
import type { StageOutcome } from "../filter/outcome.ts";
import { byFilter, tellVerdict, type Pending } from "./ask-filters.ts";
import { loginFiltered } from "./auth.ts";
import { chunkFiltered, dataFiltered } from "./data.ts";
import { tagsOf } from "./filter-facts.ts";
import { begin, helloFiltered } from "./greeting.ts";
import { mailFiltered, notesTold, recipientFiltered } from "./mail.ts";
import { close, tellRejected, type Refused } from "./refusing.ts";
import { type Session, type Step, type World } from "./state.ts";
import { greetAgain } from "./xclient.ts";

/**
 * Filters at the stages before the content (`mail/filter/filter.ts`): the question waits in a phase of its own, and what was
 * to be done without filters is done when they let it. Where no filter of this listener wants to hear of a stage, nothing of
 * this happens.
 */
export function filtered(world: World, before: Session, outcome: StageOutcome): Step {
  const { phase } = before;
  if (phase.at !== "filtering") return [before, []];
  const { pending: then } = phase;
  const message = "transaction" in then ? then.transaction.message : undefined;
  const about = "transaction" in then ? { transaction: then.transaction } : {};
  const told = [
    ...notesTold(world, before, about, outcome.notes),
    ...outcome.told.map((one) => tellVerdict(world, message, one)),
  ];
  // What was said of a name or login that is refused was said of nobody who is here.
  const isUndone = (then.stage === "helo" || then.stage === "auth") && outcome.kind !== "proceed";
  const [session, pending] = withTags(before, then, isUndone ? [] : outcome.tags);
  if (outcome.kind === "disconnect") {
    const about = { ...refusedAt(pending), ...byFilter(outcome.by) };
    const event = tellRejected(world, session, outcome.reply, about);
    return close({ ...session, phase: { at: "ready" } }, outcome.reply, ...told, event);
  }
  const [next, actions] = onward(world, session, pending, outcome);
  return [next, [...told, ...actions]];
}

function onward(
  world: World,
  session: Session,
  then: Pending,
  outcome: Exclude<StageOutcome, { kind: "disconnect" }>,
): Step {
  const { kind } = outcome;
  const refused = kind === "proceed" ? undefined : { reply: outcome.reply, about: byFilter(outcome.by) };
  const rewrite = kind === "proceed" ? outcome.rewrite : undefined;
  switch (then.stage) {
    case "connect":
      // What was refused before was refused to somebody else.
      if (then.isAgain === true) return greetAgain(world, { ...session, refused });
      // The session goes on, so that the log knows what mail it would have been.
      return begin(world, refused === undefined ? session : { ...session, refused }, then.flight);
    case "helo":
      return helloFiltered(world, session, then.verb, rewrite ?? then.domain, refused);
    case "auth":
      return loginFiltered(world, session, refused);
    case "mail":
      return mailFiltered(world, session, { ...then.transaction, sender: rewrite ?? then.transaction.sender }, refused);
    case "rcpt":
      return recipientFiltered(world, session, then, rewrite, refused);
    case "data":
      return dataFiltered(world, session, then.transaction, refused);
    case "chunk":
      return chunkFiltered(world, session, then, refused);
    default:
      return unreachable(then);
  }
}

function refusedAt(then: Pending): Refused {
  const stage = then.stage === "chunk" ? "DATA" : then.stage.toUpperCase();
  if (!("transaction" in then)) return { stage };
  const { transaction } = then;
  return { stage, transaction, ...(then.stage === "rcpt" ? { recipient: then.recipient } : {}) };
}

function withTags(session: Session, then: Pending, tags: readonly string[]): readonly [Session, Pending] {
  if (tags.length === 0) return [session, then];
  if (!("transaction" in then)) {
    const all = [...tagsOf(session.facts), ...tags];
    // Said of the connection: STARTTLS, which forgets what the client said, does not change it.
    const lasting = then.stage === "connect" ? { connectionTags: all } : {};
    return [{ ...session, ...lasting, facts: { ...session.facts, tags: all } }, then];
  }
  const transaction = { ...then.transaction, tags: [...(then.transaction.tags ?? []), ...tags] };
  return [session, { ...then, transaction }];
}
