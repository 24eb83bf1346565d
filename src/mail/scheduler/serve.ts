import { isIP } from "node:net";
import type { ResolveRequest } from "../delivery/delivery.ts";
import { hasRoom, isWaitedFor, nextWaiting, type Limited } from "../route/limited.ts";
import { forgive } from "../route/penalty.ts";
import { choose, domainLimit, penaltyRules } from "./choose.ts";
import { takeBatch, takeLocal } from "./ready-queues.ts";
import { deferRound, noSource } from "./round.ts";
import type { Way } from "./plan.ts";
import { mayWork, type RelayQueue, type SchedulerState, type Session } from "./state.ts";
import { move } from "./ticket.ts";
import { dropWake, setWake } from "./wake-heap.ts";

/**
 * Hands out work: ready envelopes to idle sessions, new sessions while there is more than they can take and limits allow
 * it, final deliveries to recipients in turn. Called at the end of each step, and looks only at what the step touched.
 */
export function dispatch(s: SchedulerState): void {
  do {
    // One live iteration: what is added meanwhile is visited too, and deleting from the front stays cheap.
    for (const relay of s.dirty) {
      s.dirty.delete(relay);
      serveRelay(s, relay);
      forgetIfDone(s, relay);
    }
    for (const limit of s.freed) {
      s.freed.delete(limit);
      if (!hasRoom(limit) || !isWaitedFor(limit)) continue;
      const relay = s.relays.get(nextWaiting(limit) ?? "");
      // Perhaps it does not use the place, or there are more: whoever is next gets its turn as well.
      s.freed.add(limit);
      if (relay === undefined) continue;
      relay.waitsOn.delete(limit);
      s.dirty.add(relay);
      break;
    }
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
    s.out.push({ do: "deliver", message: ticket.message.id, envelope: ticket.id, attempt: ticket.attempts + 1 });
  }
}

function serveRelay(s: SchedulerState, relay: RelayQueue): void {
  if (!mayWork(s, "out")) {
    for (const session of relay.idle.splice(0)) leave(s, session);
    return;
  }
  while (relay.readyCount > 0) {
    const session = relay.idle.pop();
    if (session === undefined) break;
    give(s, relay, session);
  }
  while (wantsSession(s, relay) && openSession(s, relay)) continue;
}

/** More is ready than the sessions on their way will take at once. */
function wantsSession(s: SchedulerState, relay: RelayQueue): boolean {
  if (relay.readyCount === 0 || relay.isRetired) return false;
  const transactions = Math.ceil(relay.readyCount / s.settings.route.limits.recipientsPerMail);
  return relay.connecting < Math.max(relay.batches.size, transactions);
}

function give(s: SchedulerState, relay: RelayQueue, session: Session): void {
  const { recipientsPerMail } = s.settings.route.limits;
  const tickets = takeBatch(s, relay, Math.min(recipientsPerMail, session.facts?.mostRecipients ?? recipientsPerMail));
  const message = tickets[0]?.message.id;
  if (message === undefined) return;
  for (const ticket of tickets) {
    move(s, ticket, "active");
    dropWake(s.wakes, ticket);
  }
  dropWake(s.idleSessions, session);
  session.phase = "busy";
  session.tickets = tickets;
  session.handedAt = s.now;
  s.out.push({ do: "transact", session: session.id, message, envelopes: tickets.map((ticket) => ticket.id) });
}

/** Opens one more session, or sees to it that the relay is looked at again when one could be. */
function openSession(s: SchedulerState, relay: RelayQueue): boolean {
  if (relay.isResolving || !hasRoom(relay.connections)) return false;
  forgive(relay.penalty, s.now, penaltyRules(s));
  if (relay.penalty.restsUntilAt > s.now) return comeBackAt(s, relay, relay.penalty.restsUntilAt);
  const common = relay.domain === undefined ? [s.total] : [s.total, domainLimit(s, relay.domain)];
  const full = common.filter((limit) => !hasRoom(limit));
  if (full.length > 0) return standInLine(relay, full);

  const isStale = relay.freshUntilAt <= s.now && relay.tried.size === 0;
  if (relay.candidates.length === 0 || isStale) return resolve(s, relay);
  const choice = choose(s, relay);
  if (choice.kind === "full") return standInLine(relay, choice.limits);
  if (choice.kind === "none") {
    if (relay.sessions.size === 0 && relay.failures.length === 0 && choice.untilAt === Infinity)
      relay.failures.push({ failure: noSource(relay) });
    if (relay.sessions.size === 0 && relay.failures.length > 0) {
      deferRound(s, relay);
      return false;
    }
    // With sessions at work they carry on; without a failure in this round everything rests.
    return comeBackAt(s, relay, choice.untilAt);
  }
  const { candidate, route } = choice;
  const session: Session = {
    id: `s${(++s.sessionCount).toString(36)}`,
    relay,
    route,
    candidate,
    occupies: [...common, relay.connections, ...choice.occupies],
    openedAt: s.now,
    phase: "connecting",
    facts: undefined,
    connectMs: 0,
    transactions: 0,
    hasWorked: false,
    tickets: [],
    handedAt: 0,
    wakeAt: Infinity,
    heapAt: -1,
  };
  if (relay.tried.size === 0) relay.roundStartedAt = s.now;
  for (const limit of session.occupies) limit.used++;
  s.sessions.set(session.id, session);
  relay.sessions.add(session);
  relay.connecting++;
  const { way } = candidate;
  s.out.push({
    do: "connect",
    request: {
      session: session.id,
      host: candidate.host,
      protocol: way.relay.protocol,
      tls: way.relay.tls,
      verify: way.verify,
      ...(way.relay.credentials === undefined ? {} : { credentials: way.relay.credentials }),
      ...(route.source === undefined ? {} : { sourceAddress: route.source }),
      helo: relay.plan.helo,
      relay: relay.domain ?? way.text,
      destination: destinationOf(way, relay.domain),
    },
  });
  return true;
}

/** The next hop as it was written: what TLS policies are about. */
function destinationOf({ relay: { to } }: Way, domain: string | undefined): string {
  if (to.kind === "mx") return domain ?? "";
  if (to.kind === "unix") return to.path;
  const host = isIP(to.host) === 0 ? to.host : `[${to.host}]`;
  return to.port === undefined ? host : `${host}:${to.port}`;
}

function resolve(s: SchedulerState, relay: RelayQueue): false {
  if (!hasRoom(s.resolving)) return standInLine(relay, [s.resolving]);
  s.resolving.used++;
  relay.isResolving = true;
  s.out.push({
    do: "resolve",
    relay: relay.key,
    requests: relay.plan.ways.map((way) => resolveRequestOf(way, relay.domain ?? "")),
  });
  return false;
}

function resolveRequestOf(way: Way, domain: string): ResolveRequest {
  const { to, defaultPort, backupAs } = way.relay;
  if (to.kind !== "mx") return { target: to, defaultPort };
  // RFC 5321 section 4.1.3: a recipient at an address literal is at that address, without MX.
  const literal = /^\[(?:ipv6:)?([^\]]+)\]$/.exec(domain)?.[1];
  if (literal !== undefined) return { target: { kind: "host", host: literal }, defaultPort };
  return { target: { kind: "domain", domain }, defaultPort, ...(backupAs === undefined ? {} : { backupAs }) };
}

function standInLine(relay: RelayQueue, limits: readonly Limited[]): false {
  for (const limit of limits) {
    if (relay.waitsOn.has(limit)) continue;
    relay.waitsOn.add(limit);
    limit.waiting.push(relay.key);
  }
  return false;
}

function comeBackAt(s: SchedulerState, relay: RelayQueue, at: number): false {
  setWake(s.relayWakes, relay, at);
  return false;
}

/** A relay is in the books while something is ready, connected or owed. */
function forgetIfDone(s: SchedulerState, relay: RelayQueue): void {
  if (relay.readyCount > 0 || relay.sessions.size > 0 || relay.isResolving) return;
  forgive(relay.penalty, s.now, penaltyRules(s));
  if (relay.penalty.count > 0 && !relay.isRetired) {
    const { restsUntilAt, quietSinceAt } = relay.penalty;
    setWake(s.relayWakes, relay, Math.max(restsUntilAt, quietSinceAt + s.settings.route.quietTime));
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
  for (const limit of session.occupies) {
    limit.used--;
    if (isWaitedFor(limit)) s.freed.add(limit);
  }
  s.dirty.add(relay);
}
