import type { Connected, Outcome, Resolved, Transacted } from "../../delivery/delivery.ts";
import { failureText } from "../../envelope/failure-text.ts";
import type { Failure } from "../../envelope/failure.ts";
import { countOne, newMeter, type Meter } from "./meter.ts";
import { domainOf } from "../ready.ts";
import type { SchedulerEvent } from "../scheduler.ts";
import type { SchedulerState, Session } from "../state.ts";

/**
 * What has happened at each route, relay, host, source and domain, and in all: for people. Nothing is decided by it, so it
 * stands beside the scheduler's state and is no part of it; like that it follows from the events alone.
 */
export interface Tallies {
  readonly routes: Map<string, Tally>;
  readonly relays: Map<string, Tally>;
  readonly hosts: Map<string, Tally>;
  readonly sources: Map<string, Tally>;
  readonly domains: Map<string, Tally>;
  readonly meter: Meter;
  /** The scheduler's own counters as they were at the last look. */
  readonly since: Map<keyof SchedulerState["since"], number>;
}

export interface Tally {
  /** Sessions that could not be had, broke off or ended in a refusal; searches for next hosts that failed. */
  failures: number;
  /** Recipients that were refused, for now or for good. */
  refused: number;
  /** Sessions that were opened. */
  sessions: number;
  lastFailure: string | undefined;
  lastFailureAt: number | undefined;
  lastSuccessAt: number | undefined;
  /** When it was put behind all others last. */
  seenAt: number;
}

/** Of each kind; of more, those go that nothing was heard of for longest. */
const MOST_TALLIES = 100_000;
const LONGEST_FAILURE = 300;
const SEEN_MS = 60_000;

export function newTallies(): Tallies {
  return {
    routes: new Map(),
    relays: new Map(),
    hosts: new Map(),
    sources: new Map(),
    domains: new Map(),
    meter: newMeter(),
    since: new Map(),
  };
}

/** Before the step: a session that ends by this event is still in the books. */
export function noteEvent(tallies: Tallies, s: SchedulerState, event: SchedulerEvent, now: number): void {
  if (event.on === "resolved" && event.isStale !== true) noteSearch(tallies, s, event.relay, event.answers, now);
  else if (event.on === "connected") noteConnected(tallies, s.sessions.get(event.session), event.connected, now);
  else if (event.on === "transacted") noteTransacted(tallies, s, event.session, event.transacted, now);
  else if (event.on === "delivered") {
    countOne(tallies.meter, "final-deliveries", now);
    if (event.outcome?.kind === "failed") countFailure(tallies, event.outcome.failure, now);
  }
}

function noteSearch(tallies: Tallies, s: SchedulerState, key: string, answers: readonly Resolved[], now: number): void {
  const failed = answers.find((answer) => !answer.ok);
  if (failed === undefined || failed.ok || answers.some((answer) => answer.ok)) return;
  countFailure(tallies, failed.failure, now);
  const domain = s.relays.get(key)?.domain;
  fail(tallyOf(tallies.relays, key, now), failed.failure, now);
  if (domain !== undefined) fail(tallyOf(tallies.domains, domain, now), failed.failure, now);
}

function noteConnected(tallies: Tallies, session: Session | undefined, connected: Connected, now: number): void {
  if (session === undefined) return;
  countOne(tallies.meter, connected.ok ? "sessions" : "session-failures", now);
  if (!connected.ok) countFailure(tallies, connected.failure, now);
  for (const tally of talliesOf(tallies, session, now)) {
    if (connected.ok) tally.sessions++;
    else fail(tally, connected.failure, now);
  }
}

function noteTransacted(
  tallies: Tallies,
  s: SchedulerState,
  id: string,
  { outcomes, ended }: Transacted,
  now: number,
): void {
  const session = s.sessions.get(id);
  if (session === undefined) return;
  countOne(tallies.meter, "transactions", now);
  noteOutcomes(tallies, s, session, outcomes, now);
  if (ended === undefined) return;
  countOne(tallies.meter, "session-failures", now);
  for (const tally of talliesOf(tallies, session, now)) fail(tally, ended.failure, now);
}

/** After the step: what the scheduler itself counts. */
export function noteStep(tallies: Tallies, s: SchedulerState, now: number): void {
  const { since, meter } = tallies;
  for (const name of SINCE) {
    const count = s.since[name];
    const before = since.get(name) ?? 0;
    if (count === before) continue;
    since.set(name, count);
    countOne(meter, name, now, count - before);
  }
}

const SINCE = ["queued", "delivered", "deferred", "bounced", "expired", "dead"] as const;

function noteOutcomes(
  tallies: Tallies,
  s: SchedulerState,
  session: Session,
  outcomes: readonly Outcome[],
  now: number,
): void {
  const places = talliesOf(tallies, session, now);
  for (const outcome of outcomes) {
    const recipient = s.tickets.get(outcome.envelope)?.recipient;
    const domain = recipient === undefined ? undefined : tallyOf(tallies.domains, domainOf(recipient), now);
    const concerned = domain === undefined ? places : [...places, domain];
    if (outcome.kind === "delivered") {
      for (const tally of concerned) tally.lastSuccessAt = now;
      continue;
    }
    countFailure(tallies, outcome.failure, now);
    for (const tally of concerned) {
      tally.refused++;
      tell(tally, outcome.failure, now);
    }
  }
}

function talliesOf(tallies: Tallies, { relay, route, candidate }: Session, now: number): readonly Tally[] {
  return [
    tallyOf(tallies.routes, route.key, now),
    tallyOf(tallies.relays, relay.key, now),
    tallyOf(tallies.hosts, candidate.address, now),
    tallyOf(tallies.sources, route.source ?? "*", now),
  ];
}

function tallyOf(among: Map<string, Tally>, key: string, now: number): Tally {
  let tally = among.get(key);
  if (tally === undefined) {
    tally = {
      failures: 0,
      refused: 0,
      sessions: 0,
      lastFailure: undefined,
      lastFailureAt: undefined,
      lastSuccessAt: undefined,
      seenAt: now,
    };
    if (among.size >= MOST_TALLIES) {
      const [oldest] = among.keys();
      if (oldest !== undefined) among.delete(oldest);
    }
    among.set(key, tally);
  } else if (now - tally.seenAt > SEEN_MS) {
    // The newest is the last, to within a minute: to move it each time would cost more than to count.
    tally.seenAt = now;
    among.delete(key);
    among.set(key, tally);
  }
  return tally;
}

function fail(tally: Tally, failure: Failure, now: number): void {
  tally.failures++;
  tell(tally, failure, now);
}

function tell(tally: Tally, failure: Failure, now: number): void {
  tally.lastFailure = failureText(failure).slice(0, LONGEST_FAILURE);
  tally.lastFailureAt = now;
}

function countFailure(tallies: Tallies, failure: Failure, now: number): void {
  countOne(tallies.meter, `failure ${failure.cause.kind}`, now);
}
