import { messageOfEnvelope, type MessageId } from "../../foundation/ids.ts";
import type { EnvelopeProgress, EnvelopeState } from "../envelope/envelope.ts";
import type { LoadedEnvelope } from "../queue/store.ts";
import { tell } from "./action.ts";
import { removed } from "./events.ts";
import { sharedText } from "./shared-text.ts";
import { liveStateOf, type MessageEntry, type SchedulerState, type Ticket } from "./state.ts";
import { dropWake } from "./wake-heap.ts";
import { dueAtOf, expiresAtOf, setDueAt, setExpiresAt, setWarnedAt, warnedAtOf } from "./ticket-times.ts";

/**
 * Takes envelopes into the books; those known already (a load that met a fresh commit) are passed over. All envelopes of
 * one message come together, so messages need no index of their own.
 */
export function admit(s: SchedulerState, envelopes: readonly LoadedEnvelope[]): readonly Ticket[] {
  const messages = new Map<MessageId, MessageEntry>();
  for (const { id, message } of envelopes) {
    const known = s.tickets.get(id);
    if (known !== undefined) messages.set(message, known.message);
  }
  const tickets: Ticket[] = [];
  for (const loaded of envelopes) {
    if (s.tickets.has(loaded.id)) continue;
    let message = messages.get(loaded.message);
    if (message === undefined) {
      message = newMessageEntry(s, loaded);
      messages.set(loaded.message, message);
      s.messageCount++;
    }
    const ticket = newTicket(s, loaded, message);
    message.total++;
    s.tickets.set(ticket.id, ticket);
    s.counts[liveStateOf(ticket)]++;
    tickets.push(ticket);
  }
  return tickets;
}

function newMessageEntry(s: SchedulerState, loaded: LoadedEnvelope): MessageEntry {
  return {
    sender: sharedText(s.texts, loaded.sender),
    receivedAt: loaded.receivedAt,
    sizeBytes: loaded.sizeBytes,
    deliverBy:
      loaded.deliverByAt === undefined || loaded.deliverByMode === undefined
        ? undefined
        : { at: loaded.deliverByAt, mode: loaded.deliverByMode },
    ...(loaded.tenant === undefined ? {} : { tenant: sharedText(s.texts, loaded.tenant) }),
    ...(loaded.priority === undefined || loaded.priority === 0 ? {} : { priority: loaded.priority }),
    total: 0,
    inPlay: 0,
  };
}

function newTicket(s: SchedulerState, loaded: LoadedEnvelope, message: MessageEntry): Ticket {
  const { progress, givenRecipient } = loaded;
  const { dueAt, expiresAt, warnedAt, heldUntilAt, heldBecause } = progress;
  const ticket: Ticket = {
    id: loaded.id,
    message,
    recipient: loaded.recipient,
    action: sharedText(s.texts, loaded.action),
    wantsDelayNotice: loaded.wantsDelayNotice,
    state: sharedState(progress.state),
    place: "waiting",
    dueMs: undefined,
    expiresMs: undefined,
    attempts: progress.attempts,
    readyMs: undefined,
    warnedMs: undefined,
    lastHost: undefined,
    lastRound: undefined,
    queue: undefined,
    previous: undefined,
    next: undefined,
    heapAt: -1,
  };
  if (givenRecipient !== undefined) ticket.givenRecipient = givenRecipient;
  if (loaded.notBeforeAt !== undefined) ticket.notBeforeAt = loaded.notBeforeAt;
  setDueAt(ticket, dueAt);
  setExpiresAt(ticket, expiresAt);
  if (warnedAt !== undefined) setWarnedAt(ticket, warnedAt);
  if (heldUntilAt !== undefined) ticket.heldUntilAt = heldUntilAt;
  if (heldBecause !== undefined) ticket.heldBecause = heldBecause;
  return ticket;
}

function sharedState(state: EnvelopeState): EnvelopeState {
  return state === "queued" ? "queued" : state === "held" ? "held" : "dead";
}

/** Changes place (and state, together: the counts follow both). */
export function move(
  s: SchedulerState,
  ticket: Ticket,
  place: Ticket["place"],
  state: Ticket["state"] = ticket.state,
): void {
  s.counts[liveStateOf(ticket)]--;
  if (isInPlay(ticket)) ticket.message.inPlay--;
  ticket.place = place;
  ticket.state = state;
  if (isInPlay(ticket)) ticket.message.inPlay++;
  s.counts[liveStateOf(ticket)]++;
}

function isInPlay(ticket: Ticket): boolean {
  return ticket.place === "ready" || ticket.place === "active";
}

/** Takes an envelope out of the books, and its message with the last one. */
export function forget(s: SchedulerState, ticket: Ticket): void {
  dropWake(s.wakes, ticket);
  s.counts[liveStateOf(ticket)]--;
  if (isInPlay(ticket)) ticket.message.inPlay--;
  s.tickets.delete(ticket.id);
  if (--ticket.message.total > 0) return;
  s.messageCount--;
  s.out.push(tell(removed, { message: messageOfEnvelope(ticket.id) }));
}

/** The durable form, without the last failure, which only the store keeps. */
export function progressOf(ticket: Ticket): EnvelopeProgress {
  const warnedAt = warnedAtOf(ticket);
  return {
    state: ticket.state,
    dueAt: dueAtOf(ticket),
    expiresAt: expiresAtOf(ticket),
    attempts: ticket.attempts,
    ...(warnedAt === undefined ? {} : { warnedAt }),
    ...(ticket.heldUntilAt === undefined ? {} : { heldUntilAt: ticket.heldUntilAt }),
    ...(ticket.heldBecause === undefined ? {} : { heldBecause: ticket.heldBecause }),
  };
}

/** When the sender is to be told of the delay: once, and never the null sender. */
export function warnAt(s: SchedulerState, ticket: Ticket): number {
  if (ticket.warnedMs !== undefined || !ticket.wantsDelayNotice || ticket.message.sender === "") return Infinity;
  const { deliverBy, receivedAt } = ticket.message;
  // RFC 2852 section 4: in mode `notify` the delay is told at the time that the sender chose.
  if (deliverBy?.mode === "notify") return deliverBy.at;
  const { warnAfter, expireAfter } = s.settings.scheduler;
  // FUTURERELEASE and a late release from hold: the delay counts from when it might first be tried.
  const beganAt = Math.max(receivedAt, expiresAtOf(ticket) - expireAfter);
  return warnAfter === 0 ? Infinity : beganAt + warnAfter;
}

/** RFC 2852 section 4: in mode `return` an envelope is not tried after this. */
export function returnAt(ticket: Ticket): number {
  const { deliverBy } = ticket.message;
  return deliverBy?.mode === "return" ? deliverBy.at : Infinity;
}
