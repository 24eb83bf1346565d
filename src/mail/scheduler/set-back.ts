import type { Penalty } from "../route/penalty.ts";
import { nextTokenAt } from "../route/rate.ts";
import { nextWakeAt } from "./ready.ts";
import type { SchedulerState, Ticket } from "./state.ts";
import { dueAtOf, setDueAt } from "./ticket-times.ts";
import { setWake, wakeAtOf } from "./wake-heap.ts";
import { clockSetBack } from "./events.ts";
import { tell } from "./action.ts";
import { planFor } from "./plan.ts";
import { relaySchedule, spreadMs, waitMs } from "./retry/retry.ts";

/** By less than this a clock is corrected in passing; the scheduler's time then stands still until the machine's has come up. */
export const LEAST_SET_BACK_MS = 10_000;

/**
 * The machine's clock was set back to `toAt`: what waits goes on waiting for as long as it still had to, not until the clock
 * has come up again, which could be days after a clock that was far ahead was set right. Waits that began before the clock
 * went ahead may end early by as much, which does no harm. What has its instant from outside keeps it: expiry, holds,
 * suspensions, FUTURERELEASE.
 */
export function setBack(s: SchedulerState, toAt: number): void {
  const byMs = s.now - toAt;
  const earlier = (at: number): number => (at > toAt ? Math.max(toAt, at - byMs) : at);
  s.now = toAt;
  s.out.push(tell(clockSetBack, { by: byMs }));
  // The timer that runs was set for an instant of the other time.
  s.timerAt = undefined;
  for (const ticket of s.tickets.values()) {
    if (ticket.state !== "queued") continue;
    const dueAt = dueAtOf(ticket);
    if (dueAt > toAt) setDueAt(ticket, Math.max(earlier(dueAt), ticket.notBeforeAt ?? 0));
    if (ticket.warnAgainAt !== undefined) ticket.warnAgainAt = earlier(ticket.warnAgainAt);
    if (ticket.heapAt >= 0) setWake(s.wakes, ticket, nextWakeAt(s, ticket));
  }
  s.backlog.tasks = s.backlog.tasks.map((task) =>
    task.do === "put-off" ? { ...task, untilAt: earlier(task.untilAt) } : task,
  );
  for (const [index, { relay, fate }] of s.failing.entries())
    if (fate.do === "put-off") s.failing[index] = { relay, fate: { ...fate, untilAt: earlier(fate.untilAt) } };
  setRelaysBack(s, earlier);
  for (const { penalty } of s.routes.values()) setPenaltyBack(penalty, earlier);
  for (const penalty of s.sourceRests.values()) setPenaltyBack(penalty, earlier);
  for (const bucket of s.buckets.values()) {
    bucket.spentAt = bucket.spentAt.map((at) => Math.min(at, toAt));
    if (bucket.heapAt >= 0) setWake(s.bucketWakes, bucket, nextTokenAt(bucket, toAt));
  }
  // A heap is not walked while its members move.
  const idle = s.idleSessions.members.map((session) => ({ session, at: wakeAtOf(s.idleSessions, session) ?? toAt }));
  for (const { session, at } of idle) setWake(s.idleSessions, session, earlier(at));
  for (const one of s.rewrites.values()) setWake(s.rewriteWakes, one, earlier(wakeAtOf(s.rewriteWakes, one) ?? toAt));
}

function setRelaysBack(s: SchedulerState, earlier: (at: number) => number): void {
  for (const [key, { relay, untilAt }] of s.homes) s.homes.set(key, { relay, untilAt: earlier(untilAt) });
  for (const relay of s.relays.values()) {
    setPenaltyBack(relay.penalty, earlier);
    relay.freshUntilAt = earlier(relay.freshUntilAt);
    relay.roundStartedAt = Math.min(relay.roundStartedAt, s.now);
    relay.welcomedAt = Math.min(relay.welcomedAt, s.now);
    const { greylist, refusedSenders } = relay;
    if (greylist !== undefined) {
      greylist.firstRefusedAt = Math.min(greylist.firstRefusedAt, s.now);
      greylist.lastRefusedAt = Math.min(greylist.lastRefusedAt, s.now);
      greylist.restsUntilAt = earlier(greylist.restsUntilAt);
      greylist.keysUntilAt = earlier(greylist.keysUntilAt);
    }
    for (const [sender, refused] of refusedSenders ?? [])
      refusedSenders?.set(sender, { ...refused, untilAt: earlier(refused.untilAt) });
    // When it may be tried is found anew from these.
    s.dirty.add(relay);
  }
}

function setPenaltyBack(penalty: Penalty, earlier: (at: number) => number): void {
  penalty.restsUntilAt = earlier(penalty.restsUntilAt);
  penalty.quietSinceAt = earlier(penalty.quietSinceAt);
}

/** Of the waits that the schedule does not ask for, those that hosts name are the longest (`told-wait.ts`). */
const LONGEST_OTHER_WAIT_MS = 24 * 3_600_000;

/**
 * What was put off while the clock was far ahead, and is read from the disk when it is right again, is due after its wait
 * from now on: what is said to have been received in times to come, as long after now as it was to be after that.
 */
export function mendDueAt(s: SchedulerState, ticket: Ticket): void {
  const dueAt = dueAtOf(ticket);
  if (ticket.state !== "queued" || dueAt <= s.now + LEAST_SET_BACK_MS) return;
  const aheadMs = ticket.message.receivedAt - s.now;
  const mended = aheadMs > LEAST_SET_BACK_MS ? dueAt - aheadMs : Math.min(dueAt, s.now + longestWaitMs(s, ticket));
  setDueAt(ticket, Math.max(mended, s.now, ticket.notBeforeAt ?? 0));
}

function longestWaitMs(s: SchedulerState, ticket: Ticket): number {
  const { retry } = s.settings.scheduler;
  const isLocal = planFor(s.settings.plans, ticket.action)?.kind === "local";
  const schedule = isLocal ? retry.local : relaySchedule(s, ticket).value;
  return Math.max(spreadMs(waitMs(schedule, Math.max(1, ticket.attempts)), retry.spread, 1), LONGEST_OTHER_WAIT_MS);
}
