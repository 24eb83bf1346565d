import type { Failure } from "../envelope/failure.ts";
import { failureText } from "../envelope/failure-text.ts";
import { penalise } from "../route/penalty.ts";
import { hostText, shrinkRoute } from "../route/route.ts";
import { tell } from "./action.ts";
import { penaltyRules } from "./choose.ts";
import { routeRests } from "./events.ts";
import { internalWaitMs } from "./retry.ts";
import type { Attempt, RelayQueue, SchedulerState, Session } from "./state.ts";
import { postpone } from "./writing.ts";

/**
 * A round: a relay's hosts tried one after the other, at once, until one works. When none is left the whole of what is
 * due there has failed together, with the failure that tells most.
 */
/** Failures of our own side that only make a relay wait; after these they count as the relay's. */
const MISHAPS_FORGIVEN = 5;

/** A session did not come about, or ended before a transaction worked. The next host has its turn. */
export function failSession(
  s: SchedulerState,
  session: Session,
  failure: Failure,
  scope: "address" | "host" | "relay",
): void {
  const { relay, route, candidate } = session;
  if (relay.sessions.size === 0) relay.connections.limit = 1;
  if (failure.cause.kind === "internal" && ++relay.mishaps <= MISHAPS_FORGIVEN) {
    // It says nothing about the next host: what is due waits a moment, and no attempt is counted.
    const wait = internalWaitMs(s.settings.scheduler.retry.internal, relay.mishaps);
    relay.penalty.restsUntilAt = Math.max(relay.penalty.restsUntilAt, s.now + wait);
    return;
  }
  relay.failures.push({ failure, session: session.id });
  shrinkRoute(route);
  if (scope === "relay") {
    for (const other of relay.candidates) relay.tried.add(other.address);
    penaliseRelay(s, relay, failure);
    // No host is left to ask. What is due has had its attempt: its senders and the log are not kept waiting for the rest.
    if (relay.sessions.size === 0) deferRound(s, relay);
    return;
  }
  relay.tried.add(candidate.address);
  if (scope === "host") {
    for (const other of relay.candidates) if (other.host.name === candidate.host.name) relay.tried.add(other.address);
  }
  penalise(route.penalty, failure, s.now, penaltyRules(s));
  tellRest(s, route.text, route.penalty, failure);
}

/** Everything ready at the relay has had its attempt, and failed. */
export function deferRound(s: SchedulerState, relay: RelayQueue): void {
  const failure = mostTelling(relay.failures.map((one) => one.failure));
  const session = relay.failures.findLast((one) => one.failure === failure)?.session;
  const attempt: Attempt = {
    speaker: relay.candidates[0]?.way.relay.protocol ?? relay.plan.ways[0]?.relay.protocol ?? "smtp",
    relay: wasReached(failure) ? (failure.host ?? "none") : "none",
    session,
    startedAt: relay.roundStartedAt,
    connectMs: s.now - relay.roundStartedAt,
    tookMs: 0,
    tried: relay.candidates.map(({ host }) => hostText(host)),
  };
  endRound(relay);
  for (let batch = relay.batches.first; batch !== undefined; batch = relay.batches.first) {
    for (let ticket = batch.tickets.first; ticket !== undefined; ticket = batch.tickets.first) {
      postpone(s, { do: "fail", ticket, attempt, failure });
    }
  }
}

export function endRound(relay: RelayQueue): void {
  relay.tried.clear();
  relay.failures = [];
}

/** An operator wants it tried now. */
export function endRestsOf(s: SchedulerState, addresses: ReadonlySet<string>): void {
  if (addresses.size === 0) return;
  for (const route of s.routes.values()) if (addresses.has(route.address)) route.penalty.restsUntilAt = 0;
}

export function penaliseRelay(s: SchedulerState, relay: RelayQueue, failure: Failure): void {
  penalise(relay.penalty, failure, s.now, penaltyRules(s));
  tellRest(s, relay.domain ?? relay.plan.ways[0]?.text ?? relay.key, relay.penalty, failure);
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

/** Our addresses are of one family, and the next hosts of the other. */
export function noSource(relay: RelayQueue): Failure {
  return {
    lasting: "temporary",
    status: "4.4.0",
    cause: {
      kind: "settings",
      text: `no source address among ${relay.plan.sources.join(", ")} can reach the next hosts`,
    },
  };
}
