import type { Failure } from "../envelope/failure.ts";
import type { Selector } from "./admin.ts";
import { makeReady, schedule } from "./ready.ts";
import { relaySchedule, waitMs } from "./retry.ts";
import { untried } from "./settle.ts";
import type { RelayQueue, SchedulerState, Ticket } from "./state.ts";
import { afterToldMs, toldWaitMs } from "./told-wait.ts";
import { postpone } from "./writing.ts";
import { dueAtOf, expiresAtOf, setDueAt } from "./ticket-times.ts";
import { dropWake } from "./wake-heap.ts";

/**
 * Senders that a relay's hosts refuse at MAIL: a matter of all their mail there, and of nobody else's. A refusal for now
 * lets it wait, without an attempt, as long as the first of it. A refusal for good fails it alike, each when
 * its turn comes, after the host has said so of the address itself, or three times in a row. The null sender is nobody:
 * its mail is tried each for itself. Whoever asks for a retry has the hosts asked again.
 */
const MOST_SENDERS = 1000;
/** Refusals in a row after which a host that refuses a sender for good is not asked about the rest of its mail. */
const TIMES_FOR_GOOD = 3;
const REMEMBERED_MS = 600_000;
/** RFC 3463 section 3.2: the sender's own address is what is wrong. */
const ABOUT_THE_ADDRESS = new Set(["5.1.7", "5.1.8"]);
/** Who waits no longer than this waits in memory: a host that names a second is not to have everything written each second. */
const LEAST_WRITTEN_MS = 60_000;

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
  const times = isForGood ? (known === undefined || known.untilAt <= s.now ? 0 : known.times) + 1 : 0;
  const wait = isForGood ? REMEMBERED_MS : waitForNow(s, failure, refused);
  refusedSenders.set(sender, { failure, times, untilAt: s.now + wait });
  // The one refused longest ago gives way.
  if (refusedSenders.size > MOST_SENDERS)
    for (const [oldest] of refusedSenders) {
      refusedSenders.delete(oldest);
      break;
    }
}

/** As long as a first failure by the schedules of those refused, and never longer than one of them waits itself. */
function waitForNow(s: SchedulerState, failure: Failure, refused: readonly Ticket[]): number {
  const toldMs = toldWaitMs(failure.reply);
  if (toldMs !== undefined) return afterToldMs(toldMs, 0);
  let wait = Infinity;
  for (const ticket of refused) {
    const { value } = relaySchedule(s, ticket);
    wait = Math.min(wait, waitMs(value, 1), waitMs(value, ticket.attempts + 1));
  }
  return wait === Infinity ? waitMs(s.settings.scheduler.retry.relay, 1) : wait;
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
    relay.refusedSenders.delete(ticket.message.sender);
    return false;
  }
  const { failure, times, untilAt } = known;
  if (failure.lasting === "temporary") {
    // Tried once more at the very end rather than returned untried.
    if (expiresAtOf(ticket) <= s.now) return false;
    if (untilAt - s.now >= LEAST_WRITTEN_MS) postpone(s, { do: "put-off", ticket, untilAt, failure });
    else {
      setDueAt(ticket, Math.min(untilAt, expiresAtOf(ticket)));
      schedule(s, ticket);
    }
    return true;
  }
  if (times < TIMES_FOR_GOOD && !ABOUT_THE_ADDRESS.has(failure.status)) return false;
  postpone(s, { do: "fail", ticket, attempt: { ...untried(s), isUntried: true }, failure });
  return true;
}

/**
 * Until when a relay is remembered for the mail that waits there for its sender; undefined: none does. Whom it refuses for
 * good has nothing waiting there.
 */
export function refusedSendersUntilAt(s: SchedulerState, relay: RelayQueue): number | undefined {
  let untilAt: number | undefined;
  for (const [sender, refused] of relay.refusedSenders ?? []) {
    if (refused.untilAt <= s.now) relay.refusedSenders?.delete(sender);
    else if (refused.failure.lasting === "temporary") untilAt = Math.max(untilAt ?? 0, refused.untilAt);
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
  let forgiven = 0;
  const waits = new Map<string, Set<number>>();
  for (const relay of relays) {
    let isRefusing = false;
    for (const [sender, { untilAt }] of relay.refusedSenders ?? []) {
      if (untilAt <= s.now) continue;
      isRefusing = true;
      const until = waits.get(sender) ?? new Set();
      waits.set(sender, until.add(untilAt));
    }
    relay.refusedSenders = undefined;
    if (isRefusing) forgiven++;
  }
  if (forgiven === 0) return 0;
  for (const ticket of s.tickets.values()) {
    // Who was tried itself, or has its time from an operator, is due at another instant.
    if (waits.get(ticket.message.sender)?.has(dueAtOf(ticket)) !== true) continue;
    if (ticket.place !== "waiting" || ticket.state !== "queued" || ticket.queue?.kind === "suspension") continue;
    dropWake(s.wakes, ticket);
    setDueAt(ticket, s.now);
    makeReady(s, ticket);
  }
  return forgiven;
}
