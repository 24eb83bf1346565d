import type { Outcome } from "../../delivery/delivery.ts";
import { failureText } from "../../envelope/failure-text.ts";
import {
  endProbing,
  endRest,
  mayHandOut,
  newGreylist,
  nextAttemptAt,
  onAccepted,
  onRefused,
  rememberedUntilAt,
  type Greylist,
  type Learnt,
  type Surroundings,
} from "../../route/greylist.ts";
import { tell } from "../action.ts";
import { chanceOf } from "../chance.ts";
import { greylistLearnt, greylistPassed, greylistSeen } from "../events.ts";
import { failTogether } from "../serve/failing.ts";
import { placeFirst, readyAt } from "../serve/lines.ts";
import { makeReady, schedule } from "../ready.ts";
import { relayText } from "../relay-text.ts";
import { mayBeGreylisting } from "./scope.ts";
import { NOT_TRIED } from "../serve/round.ts";
import { firstRanked } from "../serve/priorities.ts";
import type { Batch, DomainLine, RelayQueue, SchedulerState, Ticket } from "../state.ts";
import { returnAt } from "../ticket.ts";
import { toldWaitMs } from "./told-wait.ts";
import { dropWake } from "../wake-heap.ts";
import { postpone } from "../writing/writing.ts";
import { dueAtOf, expiresAtOf, setDueAt } from "../ticket-times.ts";

/**
 * Greylisting at a relay: feeds its machine (`route/greylist.ts`) with what hosts answer, and obeys it. What rests stays
 * in its line: it has had no attempt, nothing is written about it, and its schedule does not go on. Only what was
 * really refused is deferred, until the relay's next probe.
 */
/** A transaction's time is learnt over so many. */
const AVERAGED = 8;
/** Refused ones that come back each for itself are spread by so much of their wait. */
const SPREAD = 0.03;
/** Lines that are looked at for one that can be probed. */
const MOST_LINES = 64;

/** An envelope got its answer. When it was refused: when to come back, if not as the schedule says. */
export function noteAnswer(s: SchedulerState, relay: RelayQueue, ticket: Ticket, outcome: Outcome): number | undefined {
  const rules = s.settings.route.greylisting;
  if (rules.strategy === "none" || relay.isRetired) return undefined;
  const answered = { envelope: ticket.id, recipient: ticket.recipient, wasTried: ticket.attempts > 0 };
  if (outcome.kind === "delivered") {
    const of = relay.greylist;
    if (of !== undefined) follow(s, relay, of, onAccepted(of, answered, around(s, relay)));
    if (!answered.wasTried) relay.welcomedAt = s.now;
    return undefined;
  }
  const { failure } = outcome;
  if (!mayBeGreylisting(failure)) return undefined;
  relay.greylist ??= newGreylist();
  const of = relay.greylist;
  const toldMs = toldWaitMs(failure.reply);
  follow(s, relay, of, onRefused(of, { ...answered, failure, toldMs }, around(s, relay)));
  const at = nextAttemptAt(of, answered.wasTried, around(s, relay));
  if (at === undefined || of.phase === "resting" || of.phase === "probing") return at;
  return at + Math.round((at - s.now) * SPREAD * chanceOf(s).next());
}

export function noteTransactionTime(relay: RelayQueue, tookMs: number): void {
  relay.transactionMs += relay.transactionMs === 0 ? tookMs : (tookMs - relay.transactionMs) / AVERAGED;
}

/** What may be handed out at the relay now. Ends its rests and its probes when their time has come. */
export function handsOut(s: SchedulerState, relay: RelayQueue): ReturnType<typeof mayHandOut> {
  const of = relay.greylist;
  if (of === undefined) return "any";
  if (of.phase === "resting" && s.now >= of.restsUntilAt && endRest(of, s.settings.route.greylisting))
    for (const id of of.first.toReversed()) fetchFirst(s, id);
  if (of.phase === "probing" && isProbed(relay, of)) {
    const learnt = endProbing(of, around(s, relay));
    follow(s, relay, of, learnt);
    if (learnt === "resting") expireThere(s, relay, of);
  }
  return mayHandOut(of);
}

/** The next batch that may be probed, and how many of it. Those never tried are asked when the others have their answers. */
export function nextProbe(relay: RelayQueue): { line: DomainLine; batch: Batch; most: number } | undefined {
  const of = relay.greylist;
  if (of === undefined) return undefined;
  const { refused, untried: fresh } = of.probesLeft;
  let looked = 0;
  let line = relay.turns.first;
  for (; line !== undefined && looked < MOST_LINES; line = line.next, looked++) {
    const front = line.front === undefined ? undefined : line.batches.first;
    if (refused > 0 && front !== undefined) return { line, batch: front, most: refused };
  }
  if (fresh === 0 || isBusy(relay)) return undefined;
  looked = 0;
  for (line = relay.turns.first; line !== undefined && looked < MOST_LINES; line = line.next, looked++) {
    const batch = (line.front === undefined ? line.batches.first : line.front.next) ?? firstRanked(line);
    if (batch !== undefined) return { line, batch, most: fresh };
  }
  return undefined;
}

/** These were handed out as probes. */
export function noteProbes(relay: RelayQueue, tickets: readonly Ticket[]): void {
  const left = relay.greylist?.probesLeft;
  if (left === undefined) return;
  for (const ticket of tickets) {
    if (ticket.attempts > 0 || left.untried === 0) left.refused = Math.max(0, left.refused - 1);
    else left.untried--;
  }
}

/** The next instant at which something is to be looked at or forgotten; undefined: there is nothing to remember. */
export function greylistWakeAt(s: SchedulerState, relay: RelayQueue): number | undefined {
  const of = relay.greylist;
  if (of === undefined) return undefined;
  const untilAt = rememberedUntilAt(of);
  if (untilAt <= s.now || relay.isRetired) {
    relay.greylist = undefined;
    return undefined;
  }
  return of.phase === "resting" && of.restsUntilAt > s.now ? of.restsUntilAt : untilAt;
}

/** An operator wants it tried now. */
export function endGreylistRest(s: SchedulerState, relay: RelayQueue): void {
  if (relay.greylist?.phase === "resting") relay.greylist.restsUntilAt = s.now;
}

function around(s: SchedulerState, relay: RelayQueue): Surroundings {
  return {
    now: s.now,
    rules: s.settings.route.greylisting,
    sweepMs: sweepMs(s, relay),
    ready: relay.readyCount,
    welcomedAt: relay.welcomedAt,
  };
}

/** How long presenting all that is ready would take over all the connections that the relay may have. */
function sweepMs(s: SchedulerState, relay: RelayQueue): number {
  const { limits } = s.settings.route;
  const most = Math.min(bestAddresses(relay) * Math.min(limits.route, limits.host), limits.relay, limits.total);
  const transactions = Math.max(relay.batchCount, Math.ceil(relay.readyCount / limits.recipientsPerMail));
  return (transactions * relay.transactionMs) / most;
}

/** How many different addresses its hosts of the best rank have. */
function bestAddresses({ candidates }: RelayQueue): number {
  const [first, second] = candidates;
  if (first === undefined || second?.rank !== first.rank) return 1;
  return new Set(candidates.flatMap(({ rank, address }) => (rank === first.rank ? [address] : []))).size;
}

function isBusy(relay: RelayQueue): boolean {
  for (const session of relay.sessions) if (session.phase === "busy") return true;
  return false;
}

function isProbed(relay: RelayQueue, of: Greylist): boolean {
  if (isBusy(relay) || nextProbe(relay) !== undefined) return false;
  if (of.probeAnswers > 0 || (of.probesLeft.refused === 0 && of.probesLeft.untried === 0)) return true;
  // Of those refused nobody is left to ask, and what the others were told says nothing: somebody else is asked.
  return relay.turns.size > 0;
}

/** It waits, perhaps for its own time, or in the line behind others; now it is wanted as the first of the probes. */
function fetchFirst(s: SchedulerState, id: string): void {
  const ticket = s.tickets.get(id);
  if (ticket === undefined || ticket.state !== "queued" || s.now >= returnAt(ticket)) return;
  if (ticket.queue?.kind === "suspension") return;
  if (ticket.place === "waiting") {
    dropWake(s.wakes, ticket);
    setDueAt(ticket, s.now);
    makeReady(s, ticket);
  }
  if (ticket.queue?.kind === "batch") placeFirst(ticket.queue);
}

/** What rests in the line expires there: nobody else would look at it before its turn. */
function expireThere(s: SchedulerState, relay: RelayQueue, of: Greylist): void {
  for (const ticket of readyAt(relay))
    if (expiresAtOf(ticket) <= s.now)
      postpone(s, { do: "put-off", ticket, untilAt: of.restsUntilAt, failure: NOT_TRIED });
}

function follow(s: SchedulerState, relay: RelayQueue, of: Greylist, learnt: Learnt): void {
  if (learnt === undefined) return;
  s.dirty.add(relay);
  const name = relayText(relay);
  if (learnt === "passed") s.out.push(tell(greylistPassed, { relay: name, ready: relay.readyCount }));
  else if (learnt === "recipient" || learnt === "none")
    s.out.push(tell(greylistLearnt, { relay: name, keys: learnt, until: of.keysUntilAt }));
  else {
    const { lastFailure: failure } = of;
    const untilAt = learnt === "presenting" ? nextAttemptAt(of, false, around(s, relay)) : of.restsUntilAt;
    s.out.push(
      tell(greylistSeen, {
        relay: name,
        refused: of.refused,
        ready: relay.readyCount,
        plan: learnt,
        wait: untilAt === undefined ? undefined : untilAt - s.now,
        until: untilAt,
        because: failure === undefined ? "" : failureText(failure),
      }),
    );
    if (learnt === "put-off") putOffRest(s, relay, of.restsUntilAt);
  }
}

function putOffRest(s: SchedulerState, relay: RelayQueue, untilAt: number): void {
  // Those refused before it was suspicious wait a little longer as well.
  const refusedUntilAt = nextAttemptAt(relay.greylist ?? newGreylist(), true, around(s, relay)) ?? untilAt;
  for (const id of relay.greylist?.first ?? []) {
    const ticket = s.tickets.get(id);
    if (ticket?.place !== "waiting" || ticket.state !== "queued" || ticket.queue !== undefined) continue;
    setDueAt(ticket, Math.min(Math.max(dueAtOf(ticket), refusedUntilAt), expiresAtOf(ticket)));
    schedule(s, ticket);
  }
  failTogether(s, relay, relay.lines.values(), { do: "put-off", untilAt, failure: NOT_TRIED });
}
