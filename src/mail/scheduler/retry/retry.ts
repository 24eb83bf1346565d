import { unreachable } from "../../../foundation/assert.ts";
import type { RetrySchedule } from "../../route/retry-schedule.ts";
import { domainTerms, type Said } from "../../route/terms.ts";
import { domainOf, planFor } from "../plan.ts";
import type { SchedulerState, Ticket } from "../state.ts";

/**
 * The wait after attempt `attempt` (1, 2, …), in milliseconds, before it is spread. RFC 5321 section 4.5.4.1 asks for
 * retries to back off.
 */
export function waitMs(schedule: RetrySchedule, attempt: number): number {
  switch (schedule.by) {
    case "quadratic":
      return schedule.step * attempt * attempt;
    case "exponential":
      return Math.min(schedule.first * schedule.factor ** (attempt - 1), schedule.longest);
    case "list":
      return schedule.waits[Math.min(attempt, schedule.waits.length) - 1] ?? 0;
    default:
      return unreachable(schedule);
  }
}

/** Lengthens a wait by up to `spread` of itself, so that a recovered host is not met by everyone at once. */
export function spreadMs(wait: number, spread: number, random: number): number {
  return Math.round(wait * (1 + spread * random));
}

/** After failures of our own side: `firstMs`, doubling, at most an hour. */
export function internalWaitMs(firstMs: number, failuresInARow: number): number {
  return Math.min(firstMs * 2 ** Math.min(failuresInARow - 1, 20), Math.max(firstMs, 3_600_000));
}

/** The schedule of an envelope that goes to other hosts: its domain's, or that of all. A content filter is as near as a mailbox. */
export function relaySchedule(s: SchedulerState, ticket: Ticket): Said<RetrySchedule> {
  const { route, scheduler } = s.settings;
  const plan = planFor(s.settings.plans, ticket.action);
  if (plan?.kind === "relay" && plan.isContentFilter === true)
    return { value: scheduler.retry.local, path: ["scheduler", "retry", "local"] };
  const general = { value: scheduler.retry.relay, path: ["scheduler", "retry", "relay"] };
  return domainTerms(route, domainOf(ticket.recipient)).retry ?? general;
}
