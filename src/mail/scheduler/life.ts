import type { EnvelopeProgress } from "../envelope/envelope.ts";
import type { SchedulerSettings } from "./settings.ts";
import type { SchedulerState, Ticket } from "./state.ts";
import { expiresAtOf, setDueAt, setExpiresAt } from "./ticket-times.ts";
import { setWake } from "./wake-heap.ts";

/**
 * For how long an envelope is tried, kept in quarantine or kept as dead. A ticket has the end of that time by the settings in
 * force, the store also since when it runs: whoever makes it longer in the middle of an outage means what is queued.
 */
function lifeMs({ deadLetters, quarantineFor, expireAfter }: SchedulerSettings, ticket: Ticket): number {
  if (ticket.state === "dead") return deadLetters.keepFor;
  return isInQuarantine(ticket) ? quarantineFor : expireAfter;
}

/** For a time that ends. */
function isInQuarantine(ticket: Ticket): ticket is Ticket & { heldUntilAt: number } {
  return ticket.state === "held" && ticket.quarantine !== undefined && ticket.heldUntilAt !== undefined;
}

function endOf(ticket: Ticket): number {
  return isInQuarantine(ticket) ? ticket.heldUntilAt : expiresAtOf(ticket);
}

function setEnd(ticket: Ticket, at: number): void {
  if (isInQuarantine(ticket)) ticket.heldUntilAt = at;
  else setExpiresAt(ticket, at);
  // What is dead is due when it is removed.
  if (ticket.state === "dead") setDueAt(ticket, at);
}

/** Undefined: nobody knows, and its end stays as it is. */
export function beganAtOf(settings: SchedulerSettings, ticket: Ticket): number | undefined {
  return ticket.hasFixedEnd === true ? undefined : endOf(ticket) - lifeMs(settings, ticket);
}

/** As the store has it. */
export function setBeganAt(settings: SchedulerSettings, ticket: Ticket, beganAt: number | undefined): void {
  if (beganAt === undefined) ticket.hasFixedEnd = true;
  else setEnd(ticket, beganAt + lifeMs(settings, ticket));
}

/** What the store has by the settings of when it was written; nothing while that changes. */
export function endsOf(ticket: Ticket): Partial<Pick<EnvelopeProgress, "expiresAt" | "heldUntilAt">> {
  if (ticket.place === "writing") return {};
  const { heldUntilAt } = ticket;
  return { expiresAt: expiresAtOf(ticket), ...(heldUntilAt === undefined ? {} : { heldUntilAt }) };
}

/** Its time runs from now on. */
export function beginAnew(s: SchedulerState, ticket: Ticket): void {
  if (ticket.hasFixedEnd !== undefined) ticket.hasFixedEnd = undefined;
  setEnd(ticket, s.now + lifeMs(s.settings.scheduler, ticket));
}

/** Other settings are in force. What is queued is not tried or returned at once by that, but when it is due. */
export function changeLives(s: SchedulerState, before: SchedulerSettings): void {
  const now = s.settings.scheduler;
  const isSame =
    before.expireAfter === now.expireAfter &&
    before.quarantineFor === now.quarantineFor &&
    before.deadLetters.keepFor === now.deadLetters.keepFor;
  if (isSame) return;
  for (const ticket of s.tickets.values()) {
    if (ticket.hasFixedEnd === true) continue;
    const at = endOf(ticket) + lifeMs(now, ticket) - lifeMs(before, ticket);
    setEnd(ticket, at);
    if (ticket.heapAt >= 0 && (ticket.state === "dead" || isInQuarantine(ticket))) setWake(s.wakes, ticket, at);
  }
}
