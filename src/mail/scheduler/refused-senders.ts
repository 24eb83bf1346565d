import type { Failure } from "../envelope/failure.ts";
import { schedule } from "./ready.ts";
import { waitMs } from "./retry.ts";
import { untried } from "./settle.ts";
import type { RelayQueue, SchedulerState, Ticket } from "./state.ts";
import { afterToldMs, toldWaitMs } from "./told-wait.ts";
import { chanceOf } from "./chance.ts";
import { postpone } from "./writing.ts";
import { dueAtOf, expiresAtOf, setDueAt } from "./ticket-times.ts";

/**
 * Senders that a relay's hosts refuse at MAIL: a matter of all their mail there, and of nobody else's. A refusal for now
 * lets it wait, in memory and without an attempt, as long as the first of it. A refusal for good fails it alike, each when
 * its turn comes, after the host has said so of the address itself, or three times in a row. The null sender is nobody:
 * its mail is tried each for itself.
 */
const MOST_SENDERS = 1000;
/** Refusals in a row after which a host that refuses a sender for good is not asked about the rest of its mail. */
const TIMES_FOR_GOOD = 3;
const REMEMBERED_MS = 600_000;
/** RFC 3463 section 3.2: the sender's own address is what is wrong. */
const ABOUT_THE_ADDRESS = new Set(["5.1.7", "5.1.8"]);

export function noteRefusedSender(s: SchedulerState, relay: RelayQueue, sender: string, failure: Failure): void {
  if (sender === "") return;
  relay.refusedSenders ??= new Map();
  const { refusedSenders } = relay;
  const known = refusedSenders.get(sender);
  refusedSenders.delete(sender);
  const isForGood = failure.lasting === "permanent";
  const times = isForGood ? (known === undefined || known.untilAt <= s.now ? 0 : known.times) + 1 : 0;
  const toldMs = toldWaitMs(failure.reply);
  const wait = isForGood
    ? REMEMBERED_MS
    : toldMs === undefined
      ? waitMs(s.settings.scheduler.retry.relay, 1)
      : afterToldMs(toldMs, chanceOf(s).next());
  refusedSenders.set(sender, { failure, times, untilAt: s.now + wait });
  // The one refused longest ago gives way.
  if (refusedSenders.size > MOST_SENDERS)
    for (const [oldest] of refusedSenders) {
      refusedSenders.delete(oldest);
      break;
    }
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
    setDueAt(ticket, Math.min(untilAt, expiresAtOf(ticket)));
    if (dueAtOf(ticket) <= s.now) return false;
    schedule(s, ticket);
    return true;
  }
  if (times < TIMES_FOR_GOOD && !ABOUT_THE_ADDRESS.has(failure.status)) return false;
  postpone(s, { do: "fail", ticket, attempt: { ...untried(s), isUntried: true }, failure });
  return true;
}
