import { messageOfEnvelope } from "../../../foundation/ids.ts";
import { mayHandOut } from "../../route/greylist.ts";
import { hasRoom } from "../../route/limited.ts";
import { domainLimits, domainPays } from "./choose.ts";
import { mostDomains, mostRecipients } from "./claims.ts";
import { noteProbes } from "../retry/greylisting.ts";
import { mayMix, siblingsOf } from "./mixing.ts";
import { schedule } from "../ready.ts";
import { takeBatch, takeFrom } from "./ready-queues.ts";
import { isRefusedSender } from "../retry/refused-senders.ts";
import { giveBack, pay, take } from "./scarce.ts";
import type { Batch, DomainLine, RelayQueue, SchedulerState, Session, Ticket } from "../state.ts";
import { move } from "../ticket.ts";
import { dueAtOf, expiresAtOf, setDueAt } from "../ticket-times.ts";
import { dropWake } from "../wake-heap.ts";

/**
 * One transaction: which envelopes of a message a session carries next, for which domains, and what that is counted
 * against.
 */
/** What is to be carried, and by whom. */
export interface Found {
  readonly line: DomainLine;
  readonly session: Session;
  /** A probe of a greylister: this batch of the line, and not more of it. */
  readonly batch?: Batch;
  readonly most?: number;
}

/** From here on the session is counted for the domains whose mail it carries. */
function carry(s: SchedulerState, session: Session, domains: readonly string[]): void {
  const [domain = ""] = domains;
  if (session.domain === domain && domains.length === 1 && !session.isMixed) return;
  const before = session.domainLimits;
  session.domain = domain;
  session.isMixed = domains.length > 1;
  session.domainLimits = session.isMixed
    ? [...new Set(domains.flatMap((one) => domainLimits(s, one)))]
    : domainLimits(s, domain);
  take(session.domainLimits);
  giveBack(s, before);
}

/** Adds what is ready of the same message for other domains here, and says for which. */
function addSiblings(s: SchedulerState, session: Session, tickets: Ticket[], line: DomainLine, room: Room): string[] {
  const { relay } = session;
  const domains = [line.domain];
  const [first] = tickets;
  if (first === undefined || relay.byMessage === undefined) return domains;
  for (const batch of siblingsOf(relay, first.message, line)) {
    if (domains.length >= room.domains || tickets.length >= room.recipients) break;
    const { domain } = batch.line;
    // What counts this domain's mails is for a mail of its own, and so is a bound that holds for it alone.
    if (domainPays(s, domain).length > 0) continue;
    if (mostRecipients(s, session, domain) <= tickets.length || mostDomains(s, session, domain) <= domains.length)
      continue;
    if (domainLimits(s, domain).some((limit) => !session.domainLimits.includes(limit) && !hasRoom(limit))) continue;
    const more = takeFrom(s, batch, room.recipients - tickets.length, 1).filter((one) => !isSetAside(s, relay, one));
    if (more.length === 0) continue;
    tickets.push(...more);
    domains.push(domain);
  }
  return domains;
}

interface Room {
  readonly recipients: number;
  readonly domains: number;
}

/** Gives a session its next transaction. */
export function give(s: SchedulerState, { line, batch, most = Infinity }: Found, session: Session): void {
  const { relay } = session;
  const limit = Math.min(mostRecipients(s, session, line.domain), most);
  const domainLimit = mayMix(s, session) ? mostDomains(s, session, line.domain) : 1;
  const taken = takeBatch(s, line, limit, batch, domainLimit);
  const tickets = taken.filter((ticket) => !isSetAside(s, relay, ticket));
  const [first] = tickets;
  if (first === undefined) {
    relay.idle.push(session);
    return;
  }
  if (relay.greylist?.phase === "probing") noteProbes(relay, tickets);
  const room = { recipients: limit, domains: domainLimit };
  // A greylister's answers are told apart by domain.
  const isAlone = batch !== undefined || relay.greylist !== undefined;
  carry(s, session, isAlone ? [line.domain] : addSiblings(s, session, tickets, line, room));
  pay(s, session, [...session.pays, ...domainPays(s, line.domain)]);
  for (const ticket of tickets) {
    move(s, ticket, "active");
    dropWake(s.wakes, ticket);
  }
  dropWake(s.idleSessions, session);
  session.phase = "busy";
  session.tickets = tickets;
  session.handedAt = s.now;
  s.out.push({
    do: "transact",
    session: session.id,
    message: messageOfEnvelope(first.id),
    envelopes: tickets.map((ticket) => ticket.id),
  });
}

/** Its turn has come, and still it waits: for its sender, or because it was refused a while ago. */
function isSetAside(s: SchedulerState, relay: RelayQueue, ticket: Ticket): boolean {
  const of = relay.greylist;
  if (of !== undefined && ticket.attempts > 0 && of.restsUntilAt > s.now && mayHandOut(of) === "untried") {
    setDueAt(ticket, Math.min(of.restsUntilAt, expiresAtOf(ticket)));
    if (dueAtOf(ticket) > s.now) {
      schedule(s, ticket);
      return true;
    }
  }
  return isRefusedSender(s, relay, ticket);
}
