import type { LoadedEnvelope } from "../queue/store.ts";
import { append, newChain, type Chain } from "./chain.ts";
import { domainOf, goesByMx, planFor, type RelayPlan } from "./plan.ts";
import { leaveQueue } from "./serve/ready-queues.ts";
import type { CoreSettings, FailedRound, RelayQueue, SchedulerState, Ticket } from "./state.ts";
import { noteKeyOf, type Suspension } from "./suspension/suspension.ts";
import { dueAtOf, expiresAtOf, setDueAt, setDueSoon, setExpiresAt } from "./ticket-times.ts";

/**
 * Envelopes that wait for one thing in common: the end of a suspension, their relay's recovery, or other settings. When it comes they are
 * due at once, so many in each step that nothing else is held up; from there on connections limit them as they do any
 * other mail.
 */
/** Envelopes whose last attempt failed with their relay's, all of its hosts or the search for them, or by the settings. */
export interface Stalled {
  readonly kind: "stalled";
  /** The relay's. */
  readonly key: string;
  readonly tickets: Chain<Ticket>;
}

/** In one step; more follow at once, in the next. */
const MOST_AWAKENED_AT_ONCE = 500;
/** With so many ready at a relay there is enough to do. */
const MOST_READY = 1000;

/** It waits until it is due, or until its relay works again. */
export function joinStalled(s: SchedulerState, ticket: Ticket): void {
  const key = ticket.lastRound?.relay;
  if (key === undefined) return;
  let stalled = s.stalled.get(key);
  if (stalled === undefined) {
    stalled = { kind: "stalled", key, tickets: newChain() };
    s.stalled.set(key, stalled);
  }
  append(stalled.tickets, ticket);
  ticket.queue = stalled;
}

/**
 * The round in which an envelope failed before this start: of its hosts nothing is known any more but the domain, or the
 * smarthosts, that it goes to, and the one whose failure was kept. Undefined: it goes elsewhere now.
 */
export function roundBeforeStart(
  s: SchedulerState,
  { action, recipient, awayHost }: Pick<LoadedEnvelope, "action" | "recipient" | "awayHost">,
): FailedRound | undefined {
  const plan = planFor(s.settings.plans, action);
  if (plan?.kind !== "relay") return undefined;
  const key = goesByMx(plan) ? keyBeforeStart(plan, domainOf(recipient)) : plan.key;
  return (
    s.stalled.get(key)?.tickets.first?.lastRound ?? {
      relay: key,
      tried: awayHost === undefined ? [] : [awayHost],
      way: plan.key,
    }
  );
}

/** No relay's key. */
const BY_SETTINGS = "settings";

/** What has failed by its settings, with no next host in it, waits for others. */
export function failedBySettings(under: CoreSettings): FailedRound {
  return { relay: BY_SETTINGS, tried: [], under };
}

/** The settings under which it failed, or the way that these sent it, are in force no more: it need not wait. */
export function isOfEarlierSettings(s: SchedulerState, { lastRound, action }: Ticket): boolean {
  if (lastRound === undefined) return false;
  if (lastRound.under !== undefined) return lastRound.under !== s.settings;
  const plan = planFor(s.settings.plans, action);
  return lastRound.way !== (plan?.kind === "relay" ? plan.key : undefined);
}

/** New settings are in force. */
export function awakenFromEarlierSettings(s: SchedulerState): void {
  const freed: Stalled = { kind: "stalled", key: BY_SETTINGS, tickets: newChain() };
  for (const { tickets } of s.stalled.values()) {
    for (let ticket = tickets.first; ticket !== undefined;) {
      const { next } = ticket;
      if (isOfEarlierSettings(s, ticket)) {
        leaveQueue(s, ticket);
        append(freed.tickets, ticket);
        ticket.queue = freed;
      }
      ticket = next;
    }
  }
  if (freed.tickets.size > 0) s.awakening.push(freed);
}

/** No relay's own: a lookup that works does not say that the host does. */
function keyBeforeStart(plan: RelayPlan, domain: string): string {
  return `before ${domain} ${plan.key}`;
}

/**
 * A transaction worked at this relay, with mail for this domain: some of what its failure made wait need not wait any more. Each one that works wakes
 * more than it carried, so all of them are soon awake, unless it was the last that worked for a while.
 */
export function awakenAt(s: SchedulerState, relay: RelayQueue, domain: string, wake: (ticket: Ticket) => void): void {
  if (s.stalled.size === 0) return;
  for (const key of [relay.key, keyBeforeStart(relay.plan, domain)]) {
    const stalled = s.stalled.get(key);
    if (stalled === undefined || relay.readyCount >= MOST_READY) continue;
    awakenFrom(s, stalled, 2 * s.settings.route.limits.recipientsPerMail, wake);
  }
}

/** What was looked for in vain is found: all that waited for it. */
export function awakenAll(s: SchedulerState, key: string): void {
  const stalled = s.stalled.get(key);
  if (stalled === undefined) return;
  // Whoever fails from now on waits for the next time.
  s.stalled.delete(key);
  s.awakening.push(stalled);
}

export function awakenShelf(s: SchedulerState, suspension: Suspension): void {
  if (suspension.tickets.size > 0) s.awakening.push(suspension);
}

/** Some of those whose time has come; `wake` puts each where it belongs, and first writes what a suspension did to its life. */
export function awakenSome(s: SchedulerState, wake: Wake): void {
  let left = MOST_AWAKENED_AT_ONCE;
  while (left > 0) {
    const group = s.awakening[0];
    if (group === undefined) return;
    left -= awakenFrom(s, group, left, wake);
    if (group.tickets.size > 0) continue;
    s.awakening.shift();
    if (group.kind === "suspension") forgetEnded(s, group);
  }
}

type Wake = (ticket: Ticket, lifted?: Suspension) => void;

function awakenFrom(s: SchedulerState, group: Stalled | Suspension, most: number, wake: Wake): number {
  let count = 0;
  for (let ticket = group.tickets.first; ticket !== undefined && count < most; ticket = group.tickets.first) {
    count++;
    leaveQueue(s, ticket);
    let lifted: Suspension | undefined;
    if (group.kind === "stalled") setDueSoon(ticket, s.now);
    else if (resumeLife(s, ticket, group)) {
      group.unwritten++;
      lifted = group;
    }
    wake(ticket, lifted);
  }
  return count;
}

/**
 * It would have been tried when it was due: the time since then that it lay on the shelf does not count for its expiry. True:
 * there was such a time, which must be written before anything else is done with it. From the end on it is due, and under
 * another suspension its time does not count either.
 */
function resumeLife(s: SchedulerState, ticket: Ticket, { facts }: Suspension): boolean {
  const { setAt } = facts;
  const untilAt = Math.min(s.now, facts.untilAt ?? Infinity);
  const heldMs = untilAt - Math.max(setAt, dueAtOf(ticket));
  if (heldMs <= 0) return false;
  setExpiresAt(ticket, expiresAtOf(ticket) + heldMs);
  setDueAt(ticket, untilAt);
  return true;
}

/** It is about to be changed, under a suspension or not: for its life that is the end of the one that it is under. */
export function countSuspended(s: SchedulerState, ticket: Ticket): void {
  if (ticket.queue?.kind === "suspension") resumeLife(s, ticket, ticket.queue);
}

/** One that it held is written. */
export function noteLifeWritten(s: SchedulerState, suspension: Suspension): void {
  suspension.unwritten--;
  forgetEnded(s, suspension);
}

/** All that it held is written: its note goes, unless the same is suspended once more. */
function forgetEnded(s: SchedulerState, { facts: { level, key }, tickets, unwritten }: Suspension): void {
  if (tickets.size > 0 || unwritten > 0 || s.suspensions[level].has(key)) return;
  s.out.push({ do: "note", key: noteKeyOf({ level, key }), envelopes: 0 });
}
