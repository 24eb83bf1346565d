import { messageOfEnvelope } from "../../../foundation/ids.ts";
import { isIP } from "node:net";
import type { ResolveRequest } from "../../delivery/delivery.ts";
import { hasRoom, type Limited } from "../../route/limited.ts";
import { forgive } from "../../route/penalty.ts";
import { choose, domainLimits, domainOpens, domainPays, penaltyRules, type Connector } from "./choose.ts";
import { connectTimeoutFor, relayLimit } from "./claims.ts";
import { greylistWakeAt, handsOut, nextProbe } from "../retry/greylisting.ts";
import { give, type Found } from "./hand-over.ts";
import { watchConnecting } from "./hanging.ts";
import { readyAt, readyIn } from "./lines.ts";
import { takeLocal } from "./ready-queues.ts";
import { refusedSendersUntilAt } from "../retry/refused-senders.ts";
import { deferRound, endRound, noSource } from "./round.ts";
import type { Way } from "../plan.ts";
import {
  callNext,
  giveBack,
  isFree,
  isWanted,
  missingToken,
  park,
  prepay,
  refund,
  spend,
  stand,
  take,
  type Turn,
} from "./scarce.ts";
import { mayWork, type DomainLine, type RelayQueue, type SchedulerState, type Session } from "../state.ts";
import { shelve, suspensionOfRelay } from "../suspension/suspensions.ts";
import { move } from "../ticket.ts";
import { dropWake, setWake } from "../wake-heap.ts";

/**
 * Hands out work: ready envelopes to idle sessions, new sessions while there is more than they can take and limits allow
 * it, final deliveries to recipients in turn. Called at the end of each step, and looks only at what the step touched.
 */
export function dispatch(s: SchedulerState): void {
  do {
    // One live iteration: what is added meanwhile is visited too, and deleting from the front stays cheap.
    for (const relay of s.dirty) {
      s.dirty.delete(relay);
      serveRelay(s, relay, { isCalled: false });
    }
    const called = callNext(s);
    if (called !== undefined) serveRelay(s, called, { isCalled: true });
  } while (s.dirty.size > 0 || s.freed.size > 0);
  serveLocal(s);
}

function serveLocal(s: SchedulerState): void {
  if (!mayWork(s, "local")) return;
  while (s.localActive < s.settings.scheduler.local.atOnce) {
    const ticket = takeLocal(s);
    if (ticket === undefined) return;
    move(s, ticket, "active");
    dropWake(s.wakes, ticket);
    ticket.under = s.settings;
    s.out.push({
      do: "deliver",
      message: messageOfEnvelope(ticket.id),
      envelope: ticket.id,
      attempt: ticket.attempts + 1,
    });
  }
}

function serveRelay(s: SchedulerState, relay: RelayQueue, turn: Turn): void {
  const suspension = suspensionOfRelay(s, relay);
  if (suspension !== undefined) for (const ticket of readyAt(relay)) shelve(s, ticket, suspension);
  const hands = mayWork(s, "out") ? handsOut(s, relay) : "none";
  if (hands === "none") {
    // Nobody is tried for a while: no connection is kept for it.
    for (const session of relay.idle.splice(0)) leave(s, session);
    // While mail is paused a rest may have passed; who resumes it has all relays looked at.
    const restsUntilAt = relay.greylist?.phase === "resting" ? relay.greylist.restsUntilAt : 0;
    if (restsUntilAt > s.now) comeBackAt(s, relay, restsUntilAt);
  } else {
    while (relay.idle.length > 0) {
      const found = nextFor(s, relay, turn, hands === "probes");
      if (found === undefined) break;
      relay.idle.splice(relay.idle.indexOf(found.session), 1);
      give(s, found, found.session);
      turn.isCalled = false;
    }
    while (wantsSession(s, relay, hands === "probes") && openSession(s, relay, turn)) turn.isCalled = false;
    // A place that there is nothing to be done with now is not kept open while others wait for it.
    if (relay.idle.length > 0) for (const session of relay.idle.filter(isWanted)) leave(s, session);
  }
  forgetIfDone(s, relay);
}

/** More is ready than the sessions on their way will take at once. */
function wantsSession(s: SchedulerState, relay: RelayQueue, isProbing: boolean): boolean {
  if (relay.turns.size === 0 || relay.isRetired) return false;
  // A greylister is asked over one connection, one probe after the other.
  if (isProbing) return relay.sessions.size === 0 && nextProbe(relay) !== undefined;
  const transactions = Math.ceil(relay.readyCount / s.settings.route.limits.recipientsPerMail);
  return relay.connecting < Math.max(relay.batchCount, transactions);
}

/** Whose turn it is, and who carries it: a session that carried mail of that domain, or one that may. */
function nextFor(s: SchedulerState, relay: RelayQueue, turn: Turn, isProbing: boolean): Found | undefined {
  const able = relay.idle.filter((session) => missingToken(s, session, session.pays, turn) === undefined);
  if (able.length === 0) {
    const missing = relay.idle.map((session) => missingToken(s, session, session.pays, turn));
    if (relay.turns.size > 0) stand(s, relay, [...new Set(missing.filter((token) => token !== undefined))]);
    return undefined;
  }
  const next = (): Omit<Found, "session"> | undefined =>
    isProbing ? nextProbe(relay) : relay.turns.first && { line: relay.turns.first };
  for (let probe = next(); probe !== undefined; probe = next()) {
    const { line } = probe;
    const { domain } = line;
    const session = able.findLast((one) => one.domain === domain) ?? able.at(-1);
    if (session === undefined) return undefined;
    const wanted =
      missingToken(s, session, domainPays(s, domain), turn) ??
      (domain === session.domain ? undefined : missingPlace(s, relay, domain, session.domainLimits, turn));
    if (wanted === undefined) return { ...probe, session };
    park(s, line, wanted);
  }
  return undefined;
}

/** A limit of the domain in which there is no place to be had, apart from those in which there is one already. */
function missingPlace(
  s: SchedulerState,
  relay: RelayQueue,
  domain: string,
  had: readonly Limited[],
  turn: Turn,
): Limited | undefined {
  for (const limit of domainLimits(s, domain)) if (!had.includes(limit) && !isFree(s, relay, limit, turn)) return limit;
  return undefined;
}

/** Opens one more session, or sees to it that the relay is looked at again when one could be. */
function openSession(s: SchedulerState, relay: RelayQueue, turn: Turn): boolean {
  if (relay.isResolving || !hasRoom(relay.connections)) return false;
  forgive(relay.penalty, s.now, penaltyRules(s));
  if (relay.penalty.restsUntilAt > s.now) return comeBackAt(s, relay, relay.penalty.restsUntilAt);
  if (!isFree(s, relay, s.total, turn)) return stand(s, relay, [s.total]);

  const isStale = relay.freshUntilAt <= s.now && relay.tried === undefined;
  if (relay.candidates.length === 0 || isStale) return resolve(s, relay);
  const whole = relayLimit(s, relay);
  if (!isFree(s, relay, whole, turn)) return stand(s, relay, [whole]);
  const line = nextUnparked(s, relay, turn);
  if (line === undefined) return false;
  const choice = choose(s, relay, line.domain, (scarce) => isFree(s, relay, scarce, turn));
  if (choice.kind === "full") {
    // A host whose rest ends sooner than there is room elsewhere is used then.
    if (choice.untilAt < Infinity) comeBackAt(s, relay, choice.untilAt);
    return stand(s, relay, choice.scarce);
  }
  if (choice.kind === "none") {
    const { suspension } = choice;
    if (suspension !== undefined && relay.failures.length === 0 && choice.untilAt === Infinity) {
      // No host is left that is not suspended: what would go there waits for that to end.
      if (relay.sessions.size === 0) for (const ticket of readyIn(line)) shelve(s, ticket, suspension);
      return false;
    }
    if (relay.sessions.size === 0 && relay.failures.length === 0 && choice.untilAt === Infinity)
      relay.failures.push({ failure: noSource(s, relay, line.domain) });
    if (relay.sessions.size === 0 && relay.failures.length > 0) {
      deferRound(s, relay);
      return false;
    }
    // With sessions at work they carry on; without a failure in this round everything rests.
    return comeBackAt(s, relay, choice.untilAt);
  }
  if (choice.isShared) choice.route.opened++;
  connect(s, relay, line.domain, choice, [s.total, whole, relay.connections]);
  return true;
}

function connect(
  s: SchedulerState,
  relay: RelayQueue,
  domain: string,
  connector: Connector,
  common: readonly Limited[],
): void {
  const { candidate, route, source, pays } = connector;
  const session: Session = {
    id: `s${(++s.sessionCount).toString(36)}`,
    relay,
    route,
    candidate,
    occupies: [...common, ...connector.occupies],
    domain,
    domainLimits: domainLimits(s, domain),
    isMixed: false,
    pays,
    prepaid: [],
    openedAt: s.now,
    phase: "connecting",
    facts: undefined,
    connectMs: 0,
    transactions: 0,
    hasWorked: false,
    tickets: [],
    handedAt: 0,
    idleAt: 0,
    heapAt: -1,
  };
  if (relay.tried === undefined) relay.roundStartedAt = s.now;
  take(session.occupies);
  take(session.domainLimits);
  spend(s, [...connector.opens, ...domainOpens(s, domain)]);
  prepay(s, session, [...pays, ...domainPays(s, domain)]);
  s.sessions.set(session.id, session);
  relay.sessions.add(session);
  relay.connecting++;
  watchConnecting(s, session);
  const { way, host } = candidate;
  const connectTimeoutMs = connectTimeoutFor(s, host, domain);
  s.out.push({
    do: "connect",
    request: {
      session: session.id,
      host,
      protocol: way.relay.protocol,
      tls: way.relay.tls,
      verify: way.verify,
      ...(way.relay.credentials === undefined ? {} : { credentials: way.relay.credentials }),
      ...(source === undefined ? {} : { sourceAddress: source.address }),
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
      helo: source?.helo ?? relay.plan.helo,
      ...(relay.plan.xforward === true ? { xforward: true } : {}),
      ...(relay.plan.isContentFilter === true ? { isContentFilter: true } : {}),
      relay: domain === "" ? way.text : domain,
      destination: destinationOf(way, domain),
    },
  });
}

/** The next hop as it was written: what TLS policies are about. */
export function destinationOf({ relay: { to } }: Way, domain: string): string {
  if (to.kind === "mx") return domain;
  if (to.kind === "unix") return to.path;
  const host = isIP(to.host) === 0 ? to.host : `[${to.host}]`;
  return to.port === undefined ? host : `${host}:${to.port}`;
}

function resolve(s: SchedulerState, relay: RelayQueue): false {
  if (!hasRoom(s.resolving)) return stand(s, relay, [s.resolving]);
  s.resolving.used++;
  relay.isResolving = true;
  // Of all domains here it is the next one's turn to say whether its hosts are still the same.
  relay.asksFor = relay.turns.first?.domain ?? "";
  s.out.push({
    do: "resolve",
    relay: relay.key,
    requests: relay.plan.ways.map((way) => resolveRequestOf(way, relay.asksFor)),
  });
  return false;
}

/** Where a way leads for mail to this domain: what is asked of the delivery. */
export function resolveRequestOf(way: Way, domain: string): ResolveRequest {
  const { to, defaultPort, backupAs } = way.relay;
  if (to.kind !== "mx") return { target: to, defaultPort };
  return { target: { kind: "domain", domain }, defaultPort, ...(backupAs === undefined ? {} : { backupAs }) };
}

/** The next line whose domain has room for one more connection; others wait for their limits. */
function nextUnparked(s: SchedulerState, relay: RelayQueue, turn: Turn): DomainLine | undefined {
  for (let line = relay.turns.first; line !== undefined; line = relay.turns.first) {
    const { domain } = line;
    const wanted =
      missingPlace(s, relay, domain, NONE_HAD, turn) ??
      [...domainOpens(s, domain), ...domainPays(s, domain)].find((bucket) => !isFree(s, relay, bucket, turn));
    if (wanted === undefined) return line;
    park(s, line, wanted);
  }
  return undefined;
}

const NONE_HAD: readonly Limited[] = [];

function comeBackAt(s: SchedulerState, relay: RelayQueue, at: number): false {
  setWake(s.relayWakes, relay, at);
  return false;
}

/** A relay is in the books while something is ready, connected or owed. */
function forgetIfDone(s: SchedulerState, relay: RelayQueue): void {
  if (relay.readyCount > 0 || relay.sessions.size > 0 || relay.isResolving) return;
  // Who comes later begins a round of its own: what failed in this one is not its answer.
  endRound(relay);
  forgive(relay.penalty, s.now, penaltyRules(s));
  const owes = relay.penalty.count > 0 && !relay.isRetired;
  const { restsUntilAt, quietSinceAt } = relay.penalty;
  const wakeAt = Math.min(
    owes ? Math.max(restsUntilAt, quietSinceAt + s.settings.route.quietTime) : Infinity,
    greylistWakeAt(s, relay) ?? Infinity,
    (relay.isRetired ? undefined : refusedSendersUntilAt(s, relay)) ?? Infinity,
  );
  if (wakeAt < Infinity) {
    setWake(s.relayWakes, relay, wakeAt);
    return;
  }
  dropWake(s.relayWakes, relay);
  if (s.relays.get(relay.key) === relay) s.relays.delete(relay.key);
}

/** Closes a session that nothing runs on. */
export function leave(s: SchedulerState, session: Session): void {
  s.out.push({ do: "leave", session: session.id });
  endSession(s, session);
}

/** Takes a session out of the books and gives back what it occupied. */
export function endSession(s: SchedulerState, session: Session): void {
  const { relay } = session;
  s.sessions.delete(session.id);
  dropWake(s.idleSessions, session);
  relay.sessions.delete(session);
  if (session.phase === "connecting") relay.connecting--;
  const idleAt = relay.idle.indexOf(session);
  if (idleAt >= 0) relay.idle.splice(idleAt, 1);
  giveBack(s, session.occupies);
  giveBack(s, session.domainLimits);
  refund(s, session);
  s.dirty.add(relay);
}
