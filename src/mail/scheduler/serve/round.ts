import type { Failure } from "../../envelope/failure.ts";
import { failureText } from "../../envelope/failure-text.ts";
import { noPenalty, penalise, type Penalty } from "../../route/penalty.ts";
import { hostText, routeKey, routeText, shrinkRoute } from "../../route/route.ts";
import { tell } from "../action.ts";
import { penaltyRules, sourceRest } from "./choose.ts";
import { sourceAddresses, sourcesTo } from "./claims.ts";
import { routeRests, sourceRests } from "../events.ts";
import { failTogether } from "./failing.ts";
import { relayText } from "../relay-text.ts";
import { chanceOf } from "../chance.ts";
import { internalWaitMs } from "../retry/retry.ts";
import { afterToldMs, TOLD_BELIEVED, toldWaitMs } from "../retry/told-wait.ts";
import { ownKey } from "./homes.ts";
import { readyAt } from "./lines.ts";
import { forNow, isOfOneMail } from "../retry/scope.ts";
import type { Attempt, DomainLine, RelayQueue, SchedulerState, Session, Ticket } from "../state.ts";
import { expiresAtOf } from "../ticket-times.ts";
import { postpone } from "../writing/writing.ts";

/**
 * A round: a relay's hosts tried one after the other, at once, until one works. When none is left the whole of what is
 * due there has failed together, with the failure that tells most.
 */
/** Failures of our own side that only make a relay wait; after these they count as the relay's. */
const MISHAPS_FORGIVEN = 5;

/** From how many of our addresses one of a host's is tried in a round when it failed for all we know by itself. */
const SOURCES_FOR_DOUBT = 2;
/** The same when it was our address that it did not like. */
export const SOURCES_REFUSED = 4;

/** A session did not come about, or ended before a transaction worked. The next host has its turn. */
export function failSession(
  s: SchedulerState,
  session: Session,
  failure: Failure,
  scope: "route" | "address" | "host" | "relay",
): void {
  const { relay, route, candidate } = session;
  if (relay.sessions.size === 0) relay.connections.limit = 1;
  if (failure.cause.kind === "internal" && ++relay.mishaps <= MISHAPS_FORGIVEN) {
    // It says nothing about the next host: what is due waits a moment, and no attempt is counted.
    const wait = internalWaitMs(s.settings.scheduler.retry.internal, relay.mishaps);
    relay.penalty.restsUntilAt = Math.max(relay.penalty.restsUntilAt, s.now + wait);
    return;
  }
  const isSource = failure.cause.kind === "connect" && failure.cause.reason === "source";
  if (isSource) {
    restSource(s, session, failure);
    // Our own fault, which costs no attempt; but mail does not wait for ever for an address that never comes back.
    if (++relay.mishaps <= MISHAPS_FORGIVEN) return;
  }
  relay.failures.push({ failure, session: session.id });
  shrinkRoute(route);
  if (scope === "relay") {
    for (const other of relay.candidates) addTried(relay, other.address);
    penaliseRelay(s, relay, failure);
    // No host is left to ask. What is due has had its attempt: its senders and the log are not kept waiting for the rest.
    if (relay.sessions.size === 0) deferRound(s, relay);
    return;
  }
  noteTried(s, session, isSource || scope === "route" ? SOURCES_REFUSED : SOURCES_FOR_DOUBT);
  if (isSource) return;
  if (scope === "host") {
    for (const other of relay.candidates) if (other.host.name === candidate.host.name) addTried(relay, other.address);
    // What waits for its rest is not to try the host's other addresses one by one.
    if (isOfOneMail(failure)) {
      restRoute(s, session, failure, scope);
      return;
    }
  }
  penalise(route.penalty, failure, s.now, penaltyRules(s, relay));
  restAsTold(s, route.penalty, failure);
  tellRest(s, routeText(route), route.penalty, failure);
}

/**
 * The host said goodbye, or that it cannot take more just now, after mail had gone through: its route rests, with what is
 * ready for it, and nobody's attempt is counted.
 */
export function restRoute(
  s: SchedulerState,
  { relay, route, candidate }: Session,
  failure: Failure,
  scope: "route" | "host",
): void {
  const hosts =
    scope === "host" ? relay.candidates.filter((one) => one.host.name === candidate.host.name) : [candidate];
  for (const { host } of hosts) {
    const at = s.routes.get(routeKey(route.source, host));
    if (at === undefined) continue;
    // Sessions that were under way with the first one say nothing new.
    if (at.penalty.restsUntilAt > s.now) continue;
    shrinkRoute(at);
    penalise(at.penalty, failure, s.now, penaltyRules(s, relay));
    restAsTold(s, at.penalty, failure);
    tellRest(s, routeText(at), at.penalty, failure);
  }
}

/** "Try again in 300 seconds": not sooner, and, unless it has failed again and again, not later. At most the longest rest. */
function restAsTold(s: SchedulerState, penalty: Penalty, failure: Failure): void {
  const toldMs = toldWaitMs(failure.reply);
  if (toldMs === undefined) return;
  const at = s.now + Math.min(afterToldMs(toldMs, chanceOf(s).next()), s.settings.route.longestRest);
  penalty.restsUntilAt = penalty.count <= TOLD_BELIEVED ? at : Math.max(at, penalty.restsUntilAt);
  penalty.quietSinceAt = penalty.restsUntilAt;
}

/** What failed from one of our addresses may work from another: its turn comes when no other host is left. */
function noteTried(s: SchedulerState, session: Session, most: number): void {
  const { relay, route, candidate, domain } = session;
  addTried(relay, route.key);
  resetShares(s, session);
  const keys = sourcesTo(s, relay.plan, domain, candidate.host).map((source) =>
    routeKey(source?.address, candidate.host),
  );
  const tried = keys.filter((key) => relay.tried?.has(key)).length;
  if (tried >= Math.min(most, keys.length)) addTried(relay, candidate.address);
}

/** Another of our addresses has not been tried at this one of the host in this round, and does not rest. */
export function hasAnotherSource(s: SchedulerState, { relay, route, candidate, domain }: Session): boolean {
  let tried = 0;
  let isLeft = false;
  for (const source of sourcesTo(s, relay.plan, domain, candidate.host)) {
    const key = routeKey(source?.address, candidate.host, candidate.address);
    if (key === route.key || relay.tried?.has(key) === true) tried++;
    else {
      const restsUntilAt = Math.max(s.routes.get(key)?.penalty.restsUntilAt ?? 0, sourceRest(s, source));
      isLeft ||= restsUntilAt <= s.now;
    }
  }
  return isLeft && tried < SOURCES_REFUSED;
}

/** The shares of our addresses at this one of the host begin anew: nobody has to make up for what it could not carry. */
function resetShares(s: SchedulerState, { relay, candidate, domain }: Session): void {
  for (const source of sourcesTo(s, relay.plan, domain, candidate.host)) {
    const route = s.routes.get(routeKey(source?.address, candidate.host));
    if (route !== undefined) route.opened = 0;
  }
}

/** This machine does not have the address it was to connect from: nobody uses it for a while. */
function restSource(s: SchedulerState, { route: { source } }: Session, failure: Failure): void {
  if (source === undefined) return;
  const rest = s.sourceRests.get(source) ?? noPenalty();
  s.sourceRests.set(source, rest);
  // The sessions that were under way with the first one say nothing new.
  if (rest.restsUntilAt > s.now) return;
  penalise(rest, failure, s.now, penaltyRules(s));
  const because = failureText(failure);
  s.out.push(tell(sourceRests, { source, rest: rest.restsUntilAt - s.now, until: rest.restsUntilAt, because }));
}

/** One host's failure in a round, and the session that met it, where there was one. */
export interface RoundFailure {
  readonly failure: Failure;
  readonly session?: string | undefined;
}

/** Put back for another host or another of our addresses; when the round ends without one, this was its attempt. */
export function noteAnswered({ id: session, relay }: Session, ticket: Ticket, failure: Failure): void {
  if (!isOfOneMail(failure)) return;
  relay.answered ??= new Map();
  relay.answered.set(ticket.id, { failure, session });
}

/**
 * No host is left in this round. Where none could be had, everything ready at the relay has had its attempt, and failed.
 * What a host said to one mail is that mail's alone: the others have had none, and wait in their line while the host rests.
 */
export function deferRound(s: SchedulerState, relay: RelayQueue): void {
  if (relay.failures.some(({ failure }) => isOfOneMail(failure))) {
    endRoundOfSome(s, relay);
    return;
  }
  const failure = mostTelling(relay.failures.map((one) => one.failure));
  const session = relay.failures.findLast((one) => one.failure === failure)?.session;
  const attempt = attemptOf(s, relay, { failure, session });
  endRound(relay);
  failTogether(s, relay, relay.lines.values(), { do: "fail", attempt, failure });
}

function endRoundOfSome(s: SchedulerState, relay: RelayQueue): void {
  for (const [id, told] of relay.answered ?? []) {
    const ticket = s.tickets.get(id);
    if (ticket?.queue?.kind !== "batch" || ticket.queue.line.relay !== relay) continue;
    // The host knows this mail: another's success is no reason to offer it before its time.
    const attempt = { ...attemptOf(s, relay, told), round: undefined };
    postpone(s, { do: "fail", ticket, attempt, failure: forNow(told.failure) });
  }
  endRound(relay);
  s.dirty.add(relay);
  // Nobody else would look at these before their turn.
  for (const ticket of readyAt(relay))
    if (expiresAtOf(ticket) <= s.now) postpone(s, { do: "put-off", ticket, untilAt: s.now, failure: NOT_TRIED });
}

/** What is told of mail that was kept from a host because of what other mail met there. */
export const NOT_TRIED: Failure = { lasting: "temporary", status: "4.4.0", cause: { kind: "not-tried" } };

function attemptOf(s: SchedulerState, relay: RelayQueue, { failure, session }: RoundFailure): Attempt {
  return {
    speaker: relay.candidates[0]?.way.relay.protocol ?? relay.plan.ways[0]?.relay.protocol ?? "smtp",
    relay: wasReached(failure) ? (failure.host ?? "none") : "none",
    session,
    startedAt: relay.roundStartedAt,
    connectMs: s.now - relay.roundStartedAt,
    tookMs: 0,
    round: {
      relay: relay.key,
      tried: relay.candidates.map(({ host }) => hostText(host)),
      way: relay.plan.key,
      under: failure.cause.kind === "settings" ? s.settings : undefined,
    },
  };
}

/** The domain's mail exchangers could not be found; what else is ready at the relay has nothing to do with it. */
export function deferLine(s: SchedulerState, line: DomainLine, failure: Failure): void {
  const { relay } = line;
  const attempt: Attempt = {
    speaker: relay.plan.ways[0]?.relay.protocol ?? "smtp",
    relay: "none",
    startedAt: s.now,
    connectMs: 0,
    tookMs: 0,
    round: {
      relay: ownKey(relay, line.domain),
      tried: [],
      way: relay.plan.key,
      under: failure.cause.kind === "settings" ? s.settings : undefined,
    },
  };
  failTogether(s, relay, [line], { do: "fail", attempt, failure });
}

function addTried(relay: RelayQueue, what: string): void {
  relay.tried ??= new Set();
  relay.tried.add(what);
}

export function endRound(relay: RelayQueue): void {
  relay.tried = undefined;
  relay.failures = [];
  relay.answered = undefined;
}

/** An operator wants it tried now. */
export function endRestsOf(s: SchedulerState, addresses: ReadonlySet<string>): void {
  if (addresses.size === 0) return;
  for (const route of s.routes.values()) if (addresses.has(route.address)) route.penalty.restsUntilAt = 0;
}

export function penaliseRelay(s: SchedulerState, relay: RelayQueue, failure: Failure): void {
  penalise(relay.penalty, failure, s.now, penaltyRules(s, relay));
  tellRest(s, relayText(relay), relay.penalty, failure);
}

function tellRest(
  s: SchedulerState,
  route: string,
  penalty: { readonly count: number; readonly restsUntilAt: number },
  failure: Failure,
): void {
  const { count, restsUntilAt } = penalty;
  const because = failureText(failure);
  s.out.push(tell(routeRests, { route, penalty: count, rest: restsUntilAt - s.now, until: restsUntilAt, because }));
}

/**
 * Of several hosts' failures the one to remember: what somebody said rather than what was only noticed, and the last of
 * its kind. Permanent only when every one of them was.
 */
export function mostTelling(failures: readonly Failure[]): Failure {
  const temporary = failures.filter((failure) => failure.lasting === "temporary");
  const among = temporary.length > 0 ? temporary : failures;
  let best = among[0] ?? NOTHING_SAID;
  for (const failure of among) if (weight(failure) >= weight(best)) best = failure;
  return best;
}

function weight({ reply, cause }: Failure): number {
  if (reply !== undefined) return 3;
  if (cause.kind === "tls" || cause.kind === "auth" || cause.kind === "protocol") return 2;
  return cause.kind === "lost" ? 1 : 0;
}

const NOTHING_SAID: Failure = {
  lasting: "temporary",
  status: "4.4.0",
  cause: { kind: "internal", text: "no next host could be tried" },
};

function wasReached(failure: Failure): boolean {
  return failure.reply !== undefined || ["reply", "lost", "protocol", "tls", "auth"].includes(failure.cause.kind);
}

/** Our addresses are of one family, and the next hosts of the other; or there is no such pool. */
export function noSource(s: SchedulerState, relay: RelayQueue, domain: string): Failure {
  const own = relay.candidates[0] === undefined ? [] : sourceAddresses(s, relay.plan, domain, relay.candidates[0].host);
  const text =
    own.length === 0
      ? "there is no source address to connect from"
      : `no source address among ${own.join(", ")} can reach the next hosts`;
  return { lasting: "temporary", status: "4.4.0", cause: { kind: "settings", text } };
}
