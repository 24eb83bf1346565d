import type { Failure } from "../../envelope/failure.ts";
import type { RetrySchedule } from "../../route/retry-schedule.ts";
import type { Selector } from "../admin/admin.ts";
import { lastHomeOf } from "../serve/homes.ts";
import { planFor } from "../plan.ts";
import { makeReady, relayKeyOf, schedule } from "../ready.ts";
import { relaySchedule, waitMs } from "./retry.ts";
import { untried } from "../settle.ts";
import type { RefusedSender, RelayQueue, SchedulerState, Ticket } from "../state.ts";
import { afterToldMs, TOLD_BELIEVED, toldWaitMs } from "./told-wait.ts";
import { postpone } from "../writing/writing.ts";
import { expiresAtOf, setDueAt } from "../ticket-times.ts";
import { dropWake } from "../wake-heap.ts";

/**
 * Senders that a relay's hosts refuse at MAIL: a matter of all their mail there, and of nobody else's. A refusal for now
 * lets it wait, without an attempt, as long as the first of it, and longer with each that follows. A refusal for good
 * fails it alike, each when its turn comes, after the host has said so of the address itself, or three times in a row. The
 * null sender is nobody: its mail is tried each for itself. Whoever asks for a retry has the hosts asked again.
 */
const MOST_SENDERS = 1000;
/** Refusals in a row after which a host that refuses a sender for good is not asked about the rest of its mail. */
const TIMES_FOR_GOOD = 3;
const REMEMBERED_MS = 600_000;
/** RFC 3463 section 3.2: the sender's own address is what is wrong. */
const ABOUT_THE_ADDRESS = new Set(["5.1.7", "5.1.8"]);
/** The wait of a sender that is refused for now again and again grows to this, or is as long as the first: what comes newly shares it. */
const LONGEST_GROWN_MS = 3_600_000;

/** `refused`: what was in the transaction, before its outcomes are counted. */
export function noteRefusedSender(
  s: SchedulerState,
  relay: RelayQueue,
  sender: string,
  failure: Failure,
  refused: readonly Ticket[],
): void {
  if (sender === "") return;
  relay.refusedSenders ??= new Map();
  const { refusedSenders } = relay;
  const known = refusedSenders.get(sender);
  refusedSenders.delete(sender);
  const isForGood = failure.lasting === "permanent";
  const before = known === undefined || known.failure.lasting !== failure.lasting || isOver(s, known) ? 0 : known.times;
  // Those that were on their way together are refused together: for now, that is one refusal.
  const isOfThisWait = !isForGood && before > 0 && known !== undefined && known.untilAt > s.now;
  const times = isOfThisWait ? before : before + 1;
  const wait = isForGood ? REMEMBERED_MS : waitForNow(s, failure, refused, times);
  refusedSenders.set(sender, { failure, times, untilAt: s.now + wait });
  // The one refused longest ago gives way.
  if (refusedSenders.size > MOST_SENDERS)
    for (const [oldest] of refusedSenders) {
      refusedSenders.delete(oldest);
      break;
    }
}

/** Nothing that follows is in a row with it any more. For now: who is refused once more has waited first. */
function isOver(s: SchedulerState, { failure, untilAt }: RefusedSender): boolean {
  return (failure.lasting === "permanent" ? untilAt : untilAt + REMEMBERED_MS) <= s.now;
}

/**
 * After so many refusals in a row as long as after so many failures, by the schedules of those refused; and never longer
 * than one of them waits itself that was refused each time.
 */
function waitForNow(s: SchedulerState, failure: Failure, refused: readonly Ticket[], times: number): number {
  const toldMs = toldWaitMs(failure.reply);
  if (toldMs !== undefined) {
    const isBelieved = times <= TOLD_BELIEVED;
    return Math.max(afterToldMs(toldMs, 0), isBelieved ? 0 : scheduledMs(s, refused, times - TOLD_BELIEVED));
  }
  return scheduledMs(s, refused, times);
}

function scheduledMs(s: SchedulerState, refused: readonly Ticket[], times: number): number {
  let wait = Infinity;
  for (const ticket of refused) {
    const { value } = relaySchedule(s, ticket);
    wait = Math.min(wait, grownMs(value, times));
    const tries = ticket.attempts + 1;
    if (tries >= times) wait = Math.min(wait, waitMs(value, tries));
  }
  return wait === Infinity ? grownMs(s.settings.scheduler.retry.relay, times) : wait;
}

function grownMs(schedule: RetrySchedule, times: number): number {
  return Math.min(waitMs(schedule, times), Math.max(waitMs(schedule, 1), LONGEST_GROWN_MS));
}

/** The host took the sender: what was said before is over. */
export function noteWelcomeSender(relay: RelayQueue, sender: string): void {
  relay.refusedSenders?.delete(sender);
}

/** Its turn has come, but its sender is refused there: it waits or fails with the others. True: it is not to be tried. */
export function isRefusedSender(s: SchedulerState, relay: RelayQueue, ticket: Ticket): boolean {
  if (relay.refusedSenders === undefined) return false;
  const known = relay.refusedSenders.get(ticket.message.sender);
  if (known === undefined) return false;
  if (known.untilAt <= s.now) {
    if (isOver(s, known)) relay.refusedSenders.delete(ticket.message.sender);
    return false;
  }
  const { failure, times, untilAt } = known;
  if (failure.lasting === "temporary") {
    // Tried once more at the very end rather than returned untried.
    if (expiresAtOf(ticket) <= s.now) return false;
    if (ticket.isOfRefusedSender === true) putOffAgain(s, ticket, untilAt);
    else postpone(s, { do: "put-off", ticket, untilAt, failure });
    return true;
  }
  if (times < TIMES_FOR_GOOD && !ABOUT_THE_ADDRESS.has(failure.status)) return false;
  postpone(s, { do: "fail", ticket, attempt: { ...untried(s), isUntried: true }, failure });
  return true;
}

/** Why it waits is written and told: each time anew, that would be all mail of the sender with each of its refusals. */
function putOffAgain(s: SchedulerState, ticket: Ticket, untilAt: number): void {
  ticket.lastRound = undefined;
  if (ticket.isScheduled !== undefined) ticket.isScheduled = undefined;
  setDueAt(ticket, Math.min(untilAt, expiresAtOf(ticket)));
  schedule(s, ticket);
}

/**
 * Until when a relay is remembered for the mail that waits there for its sender, and for the refusal that may follow;
 * undefined: none does. Whom it refuses for good has nothing waiting there.
 */
export function refusedSendersUntilAt(s: SchedulerState, relay: RelayQueue): number | undefined {
  let untilAt: number | undefined;
  for (const [sender, refused] of relay.refusedSenders ?? []) {
    if (isOver(s, refused)) relay.refusedSenders?.delete(sender);
    else if (refused.failure.lasting === "temporary") untilAt = Math.max(untilAt ?? 0, refused.untilAt + REMEMBERED_MS);
  }
  return untilAt;
}

/** An operator wants mail tried now, and these relays have some of it: of one sender, wherever that is refused. */
export function retryRefusedSenders(s: SchedulerState, selector: Selector, concerned: Iterable<RelayQueue>): void {
  if (selector.by !== "sender") {
    for (const relay of concerned) relay.refusedSenders = undefined;
    return;
  }
  const wanted = selector.sender.toLowerCase();
  for (const { refusedSenders } of s.relays.values())
    for (const sender of refusedSenders?.keys() ?? [])
      if (sender.toLowerCase() === wanted) refusedSenders?.delete(sender);
}

/** An operator says that these relays work again: what waits for a sender there is due. Gives back how many refused one. */
export function forgiveSenders(s: SchedulerState, relays: Iterable<RelayQueue>): number {
  const forgiven = new Map<RelayQueue, ReadonlySet<string>>();
  for (const relay of relays) {
    const senders = new Set<string>();
    for (const [sender, { untilAt }] of relay.refusedSenders ?? []) if (untilAt > s.now) senders.add(sender);
    relay.refusedSenders = undefined;
    if (senders.size > 0) forgiven.set(relay, senders);
  }
  if (forgiven.size === 0) return 0;
  for (const ticket of s.tickets.values()) {
    if (ticket.place !== "waiting" || ticket.state !== "queued" || ticket.queue?.kind === "suspension") continue;
    // Who has its time from an operator or from its sender keeps it.
    if (ticket.isScheduled === true || (ticket.notBeforeAt ?? 0) > s.now) continue;
    const relay = lastRelayOf(s, ticket);
    if (relay === undefined || forgiven.get(relay)?.has(ticket.message.sender) !== true) continue;
    dropWake(s.wakes, ticket);
    setDueAt(ticket, s.now);
    makeReady(s, ticket);
  }
  return forgiven.size;
}

function lastRelayOf(s: SchedulerState, { action, recipient }: Ticket): RelayQueue | undefined {
  const plan = planFor(s.settings.plans, action);
  if (plan?.kind !== "relay") return undefined;
  const { key } = relayKeyOf(plan, recipient);
  return lastHomeOf(s, key) ?? s.relays.get(key);
}
