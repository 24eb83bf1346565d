import type { Outcome } from "../../delivery/delivery.ts";
import { hasAnotherSource } from "./round.ts";
import { scopeOf } from "../retry/scope.ts";
import { senderOf } from "./sender-turns.ts";
import type { SchedulerState, Session, Ticket } from "../state.ts";

/**
 * What a host says of our address in the middle of a mail ("client host … blocked"). A list on which we stand speaks of all
 * our mail; but a recipient may have a list of his own, and a host that asks another one hands on what was said there. So
 * where other mail would have to wait for it, it is believed only when nobody else was taken meanwhile: of several senders
 * and recipients in a row, or of very many recipients, for a list may have a single sender. Until then it is each mail's
 * own answer. Where another of our addresses is left nobody waits, and the mail goes from there at once.
 */
const SEVERAL = 3;
const MANY = 30;

/**
 * Over LMTP each answer is the mailbox's own, and whoever is told who gave us the mail (XFORWARD, content filters) may judge
 * them rather than us.
 */
export function judgesUs({ candidate, relay: { plan } }: Session): boolean {
  return candidate.way.relay.protocol === "smtp" && plan.xforward !== true && plan.isContentFilter !== true;
}

/** A transaction has ended: is its route to rest for what it said of our address? `worked`: the host also did its part. */
export function believesVerdict(
  s: SchedulerState,
  session: Session,
  { tickets, outcomes, worked }: { tickets: readonly Ticket[]; outcomes: readonly Outcome[]; worked: boolean },
): boolean {
  const { route } = session;
  if (worked) route.verdicts = undefined;
  if (worked || !judgesUs(session)) return false;
  const refused = new Set<string>();
  for (const outcome of outcomes)
    if (outcome.kind === "failed" && scopeOf(outcome.failure, "recipient") === "verdict") refused.add(outcome.envelope);
  if (refused.size === 0) return false;
  // Once believed it stays so: behind each rest one mail finds out, until something is taken or the rests are forgiven.
  if (route.verdicts?.isBelieved === true && route.penalty.count > 0) return true;
  if (route.verdicts === undefined || route.verdicts.isBelieved)
    route.verdicts = { senders: new Set(), recipients: new Set(), isBelieved: false };
  const { senders, recipients } = route.verdicts;
  for (const { id, message, recipient } of tickets) {
    if (!refused.has(id)) continue;
    senders.add(senderOf(message.sender));
    recipients.add(recipient.toLowerCase());
  }
  const isProven = recipients.size >= MANY || (recipients.size >= SEVERAL && senders.size >= SEVERAL);
  if (isProven) route.verdicts = { senders: new Set(), recipients: new Set(), isBelieved: true };
  return isProven || hasAnotherSource(s, session);
}
