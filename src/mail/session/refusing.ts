import type { Reply } from "../../protocol/smtp/reply.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import { misused, rejected, tooManyErrors } from "./events.ts";
import { replies } from "./replies.ts";
import {
  clientText,
  reply,
  tell,
  type Action,
  type Session,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";

export const CLOSING = 421;

/** The ways of saying no: each answers, counts and tells. */

export function answer(session: Session, with_: Reply): Step {
  return [session, [reply(with_)]];
}

/** A malformed, unknown or misplaced command. */
export function misuse(world: World, session: Session, command: string, with_: Reply): Step {
  const event = tell(misused, {
    session: world.terms.session,
    client: clientText(session.facts.peer),
    command,
    reply: replyText(with_),
  });
  return counted(world, session, with_, [event]);
}

export interface Refused {
  /** MAIL, RCPT, DATA, END-OF-MESSAGE, as Postfix's log has it. */
  readonly stage: string;
  readonly transaction?: Transaction | undefined;
  readonly sender?: string | undefined;
  readonly recipient?: string | undefined;
  /** The cause, for the log only. */
  readonly because?: string | undefined;
  /** The name of the rule that refused, where it was one. */
  readonly rule?: string | undefined;
  /** Which one refused, where it was one. */
  readonly restriction?: string | undefined;
}

/** A sender, a recipient or a message is refused. */
export function refuse(world: World, session: Session, with_: Reply, about: Refused): Step {
  return counted(world, session, with_, [tellRejected(world, session, with_, about)]);
}

export function tellRejected(world: World, session: Session, with_: Reply, about: Refused): Action {
  const { facts } = session;
  return tell(rejected, {
    session: world.terms.session,
    listener: world.terms.listener,
    message: about.transaction?.message,
    stage: about.stage,
    client: clientText(facts.peer),
    reply: replyText(with_),
    because: about.because,
    from: about.sender ?? about.transaction?.sender,
    to: about.recipient,
    protocol: protocolOf(facts),
    helo: facts.helo,
    rule: about.rule,
    restriction: about.restriction,
  });
}

/** As Postfix's log has it. */
export function protocolOf({ greeting }: Pick<Session["facts"], "greeting">): "SMTP" | "LMTP" | "ESMTP" {
  return greeting === "HELO" ? "SMTP" : greeting === "LHLO" ? "LMTP" : "ESMTP";
}

/** Answers and ends the session. */
export function close(session: Session, with_: Reply | undefined, ...before: readonly Action[]): Step {
  const actions: Action[] = [...before];
  if (with_ !== undefined) actions.push(reply(with_));
  if (holdsContent(session)) actions.push({ do: "abandon" });
  actions.push({ do: "close" });
  return [{ ...session, phase: { at: "closed" } }, actions];
}

/** Whether the driver may have content of a transaction that is not finished. */
export function holdsContent(session: Session): boolean {
  const { phase } = session;
  if (phase.at === "data" || phase.at === "chunk") return true;
  return phase.at === "transaction" && phase.transaction.chunks !== undefined;
}

/**
 * Only lasting refusals count as errors: a client that brings a long list of recipients gets many 452 by right. A 421 says that
 * the session ends, whoever chose it (RFC 5321 section 3.8).
 */
function counted(world: World, session: Session, with_: Reply, events: readonly Action[]): Step {
  if (with_.code === CLOSING) return close(session, with_, ...events);
  if (with_.code < 500) return [session, [...events, reply(with_)]];
  const next: Session = { ...session, errors: session.errors + 1 };
  if (next.errors < world.terms.settings.errors) return [next, [...events, reply(with_)]];
  const last = tell(tooManyErrors, {
    session: world.terms.session,
    client: clientText(session.facts.peer),
    after: session.after,
    errors: next.errors,
  });
  return close(next, replies.tooManyErrors, ...events, reply(with_), last);
}
