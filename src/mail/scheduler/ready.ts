import { messageOfEnvelope } from "../../foundation/ids.ts";
import { tell } from "./action.ts";
import { isOfEarlierSettings, joinStalled } from "./awaken.ts";
import { active, deadRemoved, released } from "./events.ts";
import { homeOf } from "./serve/homes.ts";
import { beginAnew } from "./life.ts";
import { domainOf, goesByMx, missingAction, type RelayPlan, planFor } from "./plan.ts";
import { joinLocal, joinRelay, leaveQueue } from "./serve/ready-queues.ts";
import { shelve, suspensionOf } from "./suspension/suspensions.ts";
import { giveUp, settleFailed, startWriting, tellRemoved, untried } from "./settle.ts";
import { newRelayQueue, type RelayQueue, type SchedulerState, type Ticket } from "./state.ts";
import { move, returnAt, warnAt } from "./ticket.ts";
import { postpone } from "./writing/writing.ts";
import { setWake } from "./wake-heap.ts";
import { dueAtOf, expiresAtOf, readyAtOf, setDueAt, setDueSoon, setReadyAt } from "./ticket-times.ts";

/**
 * From waiting to ready: what happens to a ticket when its instant comes. A ticket that is ready waits for its turn at
 * its relay or its mailbox; only deadlines that the sender set, and the delay warning, still wake it there.
 */
/** Something that is about to be tried is not warned about just before; after this long in the line it is. */
const READY_WITHOUT_WARNING_MS = 600_000;

/** Puts a ticket that is in no place where it belongs by its state and times. */
export function schedule(s: SchedulerState, ticket: Ticket): void {
  move(s, ticket, "waiting");
  switch (ticket.state) {
    case "held":
      setWake(s.wakes, ticket, ticket.heldUntilAt ?? Infinity);
      return;
    case "dead":
      setWake(s.wakes, ticket, expiresAtOf(ticket));
      return;
    case "queued":
      if (isOfEarlierSettings(s, ticket)) {
        ticket.lastRound = undefined;
        setDueSoon(ticket, s.now);
      }
      if (dueAtOf(ticket) <= s.now && s.now < returnAt(ticket)) makeReady(s, ticket);
      else {
        setWake(s.wakes, ticket, Math.min(dueAtOf(ticket), warnAt(s, ticket), returnAt(ticket)));
        if (ticket.lastRound !== undefined) joinStalled(s, ticket);
      }
  }
}

/** Its instant has come. */
export function onWake(s: SchedulerState, ticket: Ticket): void {
  if (ticket.state === "held" && ticket.quarantine !== undefined) {
    tellRemoved(s, ticket, "its time in quarantine is over");
    postpone(s, { do: "write", ticket, kind: "gone", command: undefined });
    return;
  }
  if (ticket.state === "held") {
    release(s, ticket);
    return;
  }
  if (ticket.state === "dead") {
    const { sender: from } = ticket.message;
    s.out.push(tell(deadRemoved, { envelope: ticket.id, from, to: ticket.recipient }));
    postpone(s, { do: "write", ticket, kind: "gone", command: undefined });
    return;
  }
  const suspension = suspensionOf(s, ticket);
  if (suspension !== undefined) {
    shelve(s, ticket, suspension);
    return;
  }
  const at = returnAt(ticket);
  if (s.now >= at) {
    giveUp(s, ticket, untried(s), { lasting: "permanent", status: "5.4.7", cause: { kind: "deliver-by", at } });
  } else if (ticket.place === "waiting" && dueAtOf(ticket) <= s.now) makeReady(s, ticket);
  else if (s.now >= alarmAt(s, ticket)) postpone(s, { do: "warn", ticket });
  else setWake(s.wakes, ticket, nextWakeAt(s, ticket));
}

/** A deadline of its sender's, or its warning; and when it is due, while it is not ready yet. */
export function nextWakeAt(s: SchedulerState, ticket: Ticket): number {
  return Math.min(ticket.place === "waiting" ? dueAtOf(ticket) : Infinity, alarmAt(s, ticket), returnAt(ticket));
}

function alarmAt(s: SchedulerState, ticket: Ticket): number {
  const at = warnAt(s, ticket);
  return ticket.place === "ready" ? Math.max(at, (readyAtOf(ticket) ?? s.now) + READY_WITHOUT_WARNING_MS) : at;
}

/** Due: it goes into the line of its relay or its mailbox. */
export function makeReady(s: SchedulerState, ticket: Ticket): void {
  const suspension = suspensionOf(s, ticket);
  if (suspension !== undefined) {
    shelve(s, ticket, suspension);
    return;
  }
  if (ticket.queue !== undefined) leaveQueue(s, ticket);
  setReadyAt(ticket, s.now);
  if (ticket.unreturned !== undefined) ticket.unreturned = undefined;
  if (ticket.message.inPlay === 0) {
    const { sender, sizeBytes, total } = ticket.message;
    const id = messageOfEnvelope(ticket.id);
    s.out.push(tell(active, { message: id, from: sender, size: sizeBytes, recipients: total }));
  }
  const plan = planFor(s.settings.plans, ticket.action);
  if (plan === undefined || plan.kind === "fail") {
    const attempt = { ...untried(s), isUntried: true };
    settleFailed(s, ticket, attempt, plan?.failure ?? missingAction(ticket.action));
    return;
  }
  move(s, ticket, "ready");
  setWake(s.wakes, ticket, nextWakeAt(s, ticket));
  if (plan.kind === "local") joinLocal(s, ticket);
  else joinRelay(s, relayFor(s, plan, ticket), ticket);
}

export { domainOf } from "./plan.ts";

/** Which relay an envelope goes to by its action and recipient, until the domain's mail exchangers are found. */
export function relayKeyOf(plan: RelayPlan, recipient: string): { readonly key: string; readonly domain?: string } {
  if (!goesByMx(plan)) return { key: plan.key };
  const domain = domainOf(recipient);
  return { key: `${domain} ${plan.key}`, domain };
}

function relayFor(s: SchedulerState, plan: RelayPlan, ticket: Ticket): RelayQueue {
  const { key, domain } = relayKeyOf(plan, ticket.recipient);
  let relay = homeOf(s, key) ?? s.relays.get(key);
  if (relay === undefined) {
    relay = newRelayQueue(key, plan, domain);
    s.relays.set(key, relay);
  }
  return relay;
}

/** Held or dead → queued and due now, or when its sender wants it sent; whoever means this mail says when (`dueAt`). */
export function release(
  s: SchedulerState,
  ticket: Ticket,
  { command, dueAt = Math.max(s.now, ticket.notBeforeAt ?? 0) }: { command?: number | undefined; dueAt?: number } = {},
): void {
  // Who looks into the quarantine late is no reason to try less long.
  const isTriedAnew = ticket.state === "dead" || ticket.quarantine !== undefined || expiresAtOf(ticket) <= s.now;
  startWriting(s, ticket);
  move(s, ticket, "writing", "queued");
  // What it failed by before says nothing of when it is due now.
  ticket.lastRound = undefined;
  setDueAt(ticket, dueAt);
  if (isTriedAnew) beginAnew(s, ticket);
  if (ticket.heldUntilAt !== undefined) ticket.heldUntilAt = undefined;
  if (ticket.heldBecause !== undefined) ticket.heldBecause = undefined;
  if (ticket.quarantine !== undefined) ticket.quarantine = undefined;
  s.out.push(tell(released, { message: messageOfEnvelope(ticket.id), envelope: ticket.id, to: ticket.recipient }));
  postpone(s, { do: "write", ticket, kind: "kept", command });
}
