import type { Connected, Outcome, Resolved, Transacted } from "../../delivery/delivery.ts";
import type { Failure } from "../../envelope/failure.ts";
import { isWaitedFor } from "../../route/limited.ts";
import { orderHosts } from "../../route/order.ts";
import { reward } from "../../route/penalty.ts";
import { addressText, growRoute, routeText } from "../../route/route.ts";
import { tell } from "../action.ts";
import { noteAnswer, noteTransactionTime } from "../retry/greylisting.ts";
import { blamedOnMixture, mixNoMore, NOBODY } from "./mixing.ts";
import { noteRefusedSender, noteWelcomeSender } from "../retry/refused-senders.ts";
import type { Expanded } from "../expanded.ts";
import { BEFORE_CONTENT, farthestOf, forNow, scopeOf, type Scope, type Wide } from "../retry/scope.ts";
import { routeResumed } from "../events.ts";
import { countTogether } from "./hanging.ts";
import { giveBackLocal, joinRelay } from "./ready-queues.ts";
import { awakenAt } from "../awaken.ts";
import { leaveHome, settle } from "./homes.ts";
import { nextWakeAt, schedule } from "../ready.ts";
import { unparkNext } from "./lines.ts";
import { mostMails, mostToRoute } from "./claims.ts";
import { isWanted } from "./scarce.ts";
import { goesByMx, planFor } from "../plan.ts";
import {
  deferLine,
  deferRound,
  endRestsOf,
  endRound,
  failSession,
  hasAnotherSource,
  mostTelling,
  noteAnswered,
  penaliseRelay,
  restRoute,
  SOURCES_REFUSED,
} from "./round.ts";
import { endSession, leave } from "./serve.ts";
import { chanceOf } from "../chance.ts";
import { shelve, suspensionOf, suspensionOfRoute } from "../suspension/suspensions.ts";
import { believesVerdict, judgesUs } from "./verdicts.ts";
import { settleDelivered, settleExpanded, settleFailed } from "../settle.ts";
import { mayWork, type Attempt, type Candidate, type SchedulerState, type Session, type Ticket } from "../state.ts";
import { forget, move } from "../ticket.ts";
import { setWake } from "../wake-heap.ts";
import { readyAtOf, setDueAt } from "../ticket-times.ts";

/** What deliveries answer: hosts found, sessions opened, transactions and final deliveries ended. */

/** While others wait for a place this session holds, it carries so many mails more when it is its relay's only one. */
const MAILS_WHILE_OTHERS_WAIT = 20;
/** Hosts are not looked up again within this, whatever their records say. */
const LEAST_FRESH_MS = 10_000;

/** The answers are in the order of the relay's ways; undefined: they are no longer the relay's. */
export function onResolved(s: SchedulerState, key: string, answers: readonly Resolved[] | undefined): void {
  s.resolving.used--;
  s.freed.add(s.resolving);
  const relay = s.relays.get(key);
  if (relay === undefined || !relay.isResolving || answers === undefined) return;
  relay.isResolving = false;
  s.dirty.add(relay);
  const line = relay.lines.get(relay.asksFor);
  const candidates: Candidate[] = [];
  const failures: Failure[] = [];
  let freshUntilAt = Infinity;
  let rank = 0;
  relay.plan.ways.forEach((way, at) => {
    const answer = answers[at];
    if (answer === undefined) return;
    if (!answer.ok) {
      failures.push(answer.failure);
      return;
    }
    freshUntilAt = Math.min(freshUntilAt, answer.freshUntilAt);
    let preference: number | undefined;
    for (const host of orderHosts(answer.hosts, chanceOf(s))) {
      if (host.preference !== preference) rank++;
      preference = host.preference;
      candidates.push({ host, address: addressText(host), way, rank });
    }
    rank++;
  });
  if (candidates.length > 0) {
    if (relay.endsRests) endRestsOf(s, new Set(candidates.map((one) => one.address)));
    relay.endsRests = false;
    settle(s, relay, { candidates, answers, freshUntilAt: Math.max(freshUntilAt, s.now + LEAST_FRESH_MS) });
    return;
  }
  const failure = mostTelling(failures);
  if (relay.domain === undefined && goesByMx(relay.plan)) {
    // Of all the domains here only the one that was asked for has got no answer.
    leaveHome(s, relay, relay.asksFor);
    if (line !== undefined) deferLine(s, line, failure);
    return;
  }
  relay.roundStartedAt = s.now;
  relay.failures = [{ failure }];
  // A permanent answer is about these envelopes; only trouble with finding out is a reason to rest.
  if (failure.lasting === "temporary") penaliseRelay(s, relay, failure);
  deferRound(s, relay);
}

export function onConnected(s: SchedulerState, id: string, connected: Connected): void {
  const session = s.sessions.get(id);
  if (session === undefined) {
    if (connected.ok) s.out.push({ do: "leave", session: id });
    return;
  }
  if (!connected.ok) {
    endSession(s, session);
    failSession(s, session, connected.failure, sessionScope(connected.failure, connected.scope));
    return;
  }
  session.relay.connecting--;
  countTogether(s, session);
  session.facts = connected.facts;
  if (session.route.source !== undefined) s.sourceRests.delete(session.route.source);
  session.connectMs = connected.tookMs;
  becomeIdle(s, session);
}

function becomeIdle(s: SchedulerState, session: Session): void {
  const { relay } = session;
  session.phase = "idle";
  session.idleAt = s.now;
  if (relay.isRetired || !mayWork(s, "out") || yieldsPlace(session) || mayNotGoOn(s, session)) {
    leave(s, session);
    return;
  }
  relay.idle.push(session);
  // What waited for its domain's limit can go over a session that has a place in it.
  for (const limit of session.domainLimits) unparkNext(relay, limit);
  setWake(s.idleSessions, session, s.now + s.settings.route.keepOpen);
  s.dirty.add(relay);
}

/** Its host or route has been suspended. */
export function mayNotGoOn(s: SchedulerState, { candidate, route }: Session): boolean {
  return suspensionOfRoute(s, candidate, route) !== undefined;
}

/** Others wait for what this session occupies: relays that have several give one back after each mail. */
function yieldsPlace(session: Session): boolean {
  const { relay } = session;
  const most = relay.sessions.size > 1 ? 1 : MAILS_WHILE_OTHERS_WAIT;
  // A relay that stands in line for one more connection gains nothing by closing one it has.
  return session.transactions >= most && isWanted(session);
}

/** Envelopes that the store no longer has: somebody took them out behind our back, or a load met a removal. */
export function onGone(s: SchedulerState, ids: readonly string[]): void {
  for (const id of ids) {
    const ticket = s.tickets.get(id);
    if (ticket !== undefined) forget(s, ticket);
  }
}

export function onTransacted(s: SchedulerState, id: string, transacted: Transacted): void {
  const session = s.sessions.get(id);
  if (session === undefined) return;
  const { relay, route } = session;
  const tickets = session.tickets.filter((ticket) => s.tickets.get(ticket.id) === ticket);
  session.tickets = [];
  const { outcomes, ended } = transacted;
  const isAgain = ended !== undefined && outcomes.length > 0 && outcomes.every(diedAtMail);
  const worked = outcomes.some((outcome) => saysSomething(session, outcome, ended === undefined));
  const isFirst = session.transactions++ === 0;
  const farthest = farthestOf(failuresIn(outcomes));
  const isBelieved = believesVerdict(s, session, { tickets, outcomes, worked });

  if (isAgain) {
    const told = new Map(outcomes.map((outcome) => [outcome.envelope, outcome]));
    for (const ticket of tickets) putBack(s, session, ticket, told.get(ticket.id));
  } else {
    const sender = tickets[0]?.message.sender;
    if (sender !== undefined) {
      if (farthest?.scope === "sender") noteRefusedSender(s, relay, sender, farthest.failure, tickets);
      else if (worked) noteWelcomeSender(relay, sender);
    }
    noteTransactionTime(relay, outcomes[0]?.tookMs ?? 0);
    const isTold = transacted.isUsable || ended !== undefined;
    const hasEnded = ended !== undefined;
    settleAll(s, session, tickets, outcomes, { isFirst, isTold, worked, isBelieved, hasEnded });
  }

  if (worked && tickets.length > 0) {
    session.hasWorked = true;
    noteSuccess(s, session);
  }
  const most = mostMails(s, session);
  if (!transacted.isUsable) {
    endSession(s, session);
    if (ended !== undefined && !(isAgain && wasStale(session, ended.failure)))
      noteEnd(s, session, ended.failure, sessionScope(ended.failure, ended.scope));
    return;
  }
  const scope = farthest && reachOf(farthest.scope, isBelieved);
  if (farthest !== undefined && (scope === "route" || scope === "host")) {
    // The session goes on, as far as the host is concerned; what it said is about more than this mail all the same.
    leave(s, session);
    noteEnd(s, session, forNow(farthest.failure), scope);
    return;
  }
  if (session.transactions >= most) leave(s, session);
  else becomeIdle(s, session);
  // A transaction that worked may allow more connections, to this relay and to others on the same route.
  s.dirty.add(relay);
  if (isWaitedFor(route.connections)) s.freed.add(route.connections);
}

/** Words about our address reach as far as they are believed. */
function reachOf(scope: Scope, isBelieved: boolean): Exclude<Scope, "verdict"> {
  return scope !== "verdict" ? scope : isBelieved ? "route" : "recipient";
}

function failuresIn(outcomes: readonly Outcome[]): readonly Failure[] {
  const failures: Failure[] = [];
  for (const outcome of outcomes) if (outcome.kind === "failed") failures.push(outcome.failure);
  return failures;
}

/**
 * Before any work the session's end is the host's failure, and another host has its turn. After it, what a host says with
 * 421 (RFC 5321 section 3.8) or of its own state rests the route; a connection that only ends says nothing.
 */
function noteEnd(s: SchedulerState, session: Session, failure: Failure, scope: ReturnType<typeof sessionScope>): void {
  if (!session.hasWorked) failSession(s, session, failure, scope);
  else if (failure.reply !== undefined && (scope === "route" || scope === "host"))
    restRoute(s, session, failure, scope);
}

/**
 * It had been kept without work, and ended meanwhile: hosts and we ourselves end such sessions, with 421 or without, and it says
 * nothing of the host. A session that has just been opened is never stale, so a host that ends each of them is found out.
 */
function wasStale({ handedAt, idleAt }: Session, { cause }: Failure): boolean {
  return handedAt > idleAt && (cause.kind === "lost" || cause.kind === "reply") && cause.during === "idle";
}

function sessionScope(failure: Failure, said: Exclude<Wide, "route">): Wide {
  const scope = scopeOf(failure, said);
  return scope === "route" || scope === "host" || scope === "relay" ? scope : said;
}

/**
 * The session ended before the next host had anything of this message: a kept session that had gone stale, or a host
 * that closes at once. Nothing was said about the envelopes, so they go to another session without an attempt counted;
 * a session that never worked puts its host at rest, so this ends.
 */
function diedAtMail(outcome: Outcome): boolean {
  if (outcome.kind !== "failed" || outcome.failure.lasting !== "temporary") return false;
  const { cause } = outcome.failure;
  return (cause.kind === "lost" || cause.kind === "reply") && BEFORE_MAIL.has(cause.during);
}

const BEFORE_MAIL: ReadonlySet<string> = new Set(["idle", "RSET", "XFORWARD", "MAIL"]);

/** The next host did its part, be it with a refusal; our own side's failures say nothing about it. */
function saysSomething(session: Session, outcome: Outcome, isInOrder: boolean): boolean {
  if (outcome.kind === "delivered") return true;
  if (!isInOrder || outcome.failure.cause.kind === "internal") return false;
  const scope = reachOf(scopeOf(outcome.failure, "recipient"), judgesUs(session));
  return scope !== "route" && scope !== "host" && scope !== "relay";
}

/** `told`: what it was answered, where that counts when the round ends. */
function putBack(s: SchedulerState, session: Session, ticket: Ticket, told?: Outcome): void {
  if (ticket.after !== undefined || session.relay.isRetired) {
    // Through the store and back: what an operator or new settings want is looked at there.
    setDueAt(ticket, s.now);
    s.urgent.push({ ticket, kind: "kept" });
    move(s, ticket, "writing");
    return;
  }
  const suspension = suspensionOf(s, ticket);
  if (suspension !== undefined) {
    shelve(s, ticket, suspension);
    return;
  }
  move(s, ticket, "ready");
  // The line may rest for long; deadlines hold there as before.
  setWake(s.wakes, ticket, nextWakeAt(s, ticket));
  joinRelay(s, session.relay, ticket);
  if (told?.kind === "failed" && !session.hasWorked) noteAnswered(session, ticket, told.failure);
}

function settleAll(
  s: SchedulerState,
  session: Session,
  tickets: readonly Ticket[],
  outcomes: readonly Outcome[],
  {
    isFirst,
    isTold,
    worked,
    isBelieved,
    hasEnded,
  }: Readonly<Record<"isFirst" | "isTold" | "worked" | "isBelieved" | "hasEnded", boolean>>,
): void {
  const [only] = outcomes;
  const byEnvelope = outcomes.length > 1 ? new Map(outcomes.map((outcome) => [outcome.envelope, outcome])) : undefined;
  const outcomeOf = (id: string): Outcome | undefined =>
    byEnvelope === undefined ? (only?.envelope === id ? only : undefined) : byEnvelope.get(id);
  // A message may take several transactions: who had not had its turn when the session ended has had no attempt.
  const isUntried = (outcome: Outcome): boolean => hasEnded && diedAtMail(outcome);
  const mayFollow = !outcomes.every((outcome) => isOverflow(outcome) || isUntried(outcome));
  const unmixed = isTold ? blamedOnMixture(session, tickets, outcomes) : NOBODY;
  if (unmixed.size > 0) mixNoMore(s, session);
  // Whoever put back a mail of a session that worked would do so again and again: only one that did not ends a round.
  const isFruitless = !session.hasWorked && !worked;
  for (const ticket of tickets) {
    const answered = outcomeOf(ticket.id) ?? noOutcome(ticket);
    const isOfSource = isTold && isLikedFromElsewhere(s, session, answered);
    const outcome = isOfSource && !isFruitless ? triedAgain(ticket, answered) : answered;
    const isPutBack = isTold && (belongsElsewhere(session, outcome, isBelieved) || (isOfSource && isFruitless));
    if (unmixed.has(ticket) || isPutBack) {
      putBack(s, session, ticket, unmixed.has(ticket) ? undefined : outcome);
      continue;
    }
    if (mayFollow && (isOverflow(outcome) || isUntried(outcome))) {
      // RFC 5321 section 4.5.3.1.10: who did not fit follows in the next transaction, and has had no attempt. As others
      // did fit, or had their answer, this has an end.
      putBack(s, session, ticket);
      continue;
    }
    const retryAt = noteAnswer(s, session.relay, ticket, outcome);
    const paidForConnection = isFirst && (readyAtOf(ticket) ?? 0) <= session.openedAt;
    settleOutcome(s, ticket, outcome, {
      speaker: session.candidate.way.relay.protocol,
      relay: outcome.relay,
      session: session.id,
      startedAt: session.handedAt,
      connectMs: paidForConnection ? session.connectMs : 0,
      tookMs: outcome.tookMs,
      retryAt,
    });
  }
}

/**
 * The host spoke of itself, not of the envelope, which has its turn at the relay's next host in the same round (RFC 5321
 * section 5.1). Only of a session that never worked: then this address counts as tried, so a round ends.
 */
function belongsElsewhere({ relay, candidate, hasWorked }: Session, outcome: Outcome, isBelieved: boolean): boolean {
  if (hasWorked || outcome.kind === "delivered") return false;
  const { failure } = outcome;
  if (failure.lasting !== "temporary" || failure.cause.kind !== "reply") return false;
  const scope = reachOf(scopeOf(failure, "recipient"), isBelieved);
  if (scope !== "route" && scope !== "host") return false;
  return relay.candidates.some(
    ({ address, host }) =>
      address !== candidate.address &&
      relay.tried?.has(address) !== true &&
      (scope === "route" || host.name !== candidate.host.name),
  );
}

/**
 * The host spoke of the one of our addresses that we came from, and another one is left. A refusal for good is then none of the
 * mail either, unless the host had seen its content.
 */
function isLikedFromElsewhere(s: SchedulerState, session: Session, outcome: Outcome): boolean {
  if (outcome.kind === "delivered") return false;
  const { failure } = outcome;
  if (failure.cause.kind !== "reply") return false;
  if (reachOf(scopeOf(failure, "recipient"), judgesUs(session)) !== "route") return false;
  if (failure.lasting === "permanent" && !BEFORE_CONTENT.has(failure.cause.during)) return false;
  return hasAnotherSource(s, session);
}

/** An attempt, but not the end: as often as there are addresses to be tried from. */
function triedAgain(ticket: Ticket, outcome: Outcome): Outcome {
  if (outcome.kind === "delivered" || ticket.attempts + 1 >= SOURCES_REFUSED) return outcome;
  return { ...outcome, failure: forNow(outcome.failure) };
}

function isOverflow(outcome: Outcome): boolean {
  return outcome.kind === "failed" && scopeOf(outcome.failure, "recipient") === "overflow";
}

/** A final delivery ended; without an outcome the store no longer had the envelope. */
export function onDelivered(s: SchedulerState, id: string, outcome: Outcome | Expanded | undefined): void {
  const ticket = s.tickets.get(id);
  if (ticket === undefined || ticket.place !== "active") return;
  giveBackLocal(s, ticket.recipient);
  if (outcome === undefined) {
    forget(s, ticket);
    return;
  }
  const plan = planFor(s.settings.plans, ticket.action);
  const { under } = ticket;
  ticket.under = undefined;
  settleOutcome(s, ticket, outcome, {
    under,
    speaker: plan?.kind === "local" ? plan.speaker : "local",
    relay: outcome.relay,
    startedAt: s.now - outcome.tookMs,
    connectMs: 0,
    tookMs: outcome.tookMs,
  });
}

function settleOutcome(s: SchedulerState, ticket: Ticket, outcome: Outcome | Expanded, attempt: Attempt): void {
  if (outcome.kind === "expanded") settleExpanded(s, ticket, attempt, outcome);
  else if (outcome.kind === "delivered") settleDelivered(s, ticket, attempt, outcome);
  else settleFailed(s, ticket, attempt, outcome.failure);
}

function noteSuccess(s: SchedulerState, session: Session): void {
  const { relay, route } = session;
  endRound(relay);
  relay.mishaps = 0;
  awakenAt(s, relay, session.domain, (ticket) => schedule(s, ticket));
  if (relay.penalty.count > 0) reward(relay.penalty, s.now);
  relay.connections.limit = Math.min(relay.connections.limit + 1, s.settings.route.limits.relay);
  growRoute(route, mostToRoute(s, session));
  if (route.penalty.count === 0) return;
  reward(route.penalty, s.now);
  s.out.push(tell(routeResumed, { route: routeText(route), penalty: route.penalty.count }));
}

function noOutcome(ticket: Ticket): Outcome {
  return {
    kind: "failed",
    envelope: ticket.id,
    relay: "none",
    failure: {
      lasting: "temporary",
      status: "4.3.0",
      cause: { kind: "internal", text: "the delivery said nothing about this envelope" },
    },
    tookMs: 0,
  };
}
