import { messageOfEnvelope, type MessageId } from "../../foundation/ids.ts";
import type { EnvelopeProgress, EnvelopeState } from "../envelope/envelope.ts";
import type { LoadedEnvelope } from "../queue/store.ts";
import { tell } from "./action.ts";
import { removed } from "./events.ts";
import { beganAtOf, setBeganAt } from "./life.ts";
import { sharedName, sharedText } from "./shared-text.ts";
import { roundBeforeStart } from "./awaken.ts";
import { liveStateOf, type MessageEntry, type SchedulerState, type Ticket } from "./state.ts";
import { dropWake } from "./wake-heap.ts";
import { dueAtOf, expiresAtOf, setDueAt, setDueSoon, setExpiresAt, setWarnedAt, warnedAtOf } from "./ticket-times.ts";

/**
 * Takes envelopes into the books; those known already (a load that met a fresh commit) are passed over. All envelopes of
 * one message come together, so messages need no index of their own; what comes later comes beside one that is there.
 */
export function admit(
  s: SchedulerState,
  envelopes: readonly LoadedEnvelope[],
  beside: readonly Ticket[] = [],
): readonly Ticket[] {
  const [alone] = envelopes;
  if (alone !== undefined && envelopes.length === 1 && beside.length === 0) {
    // As most mail comes: there is nobody it could share its message with.
    return s.tickets.has(alone.id) ? [] : [enter(s, alone, enterMessage(s, alone))];
  }
  const messages = new Map<MessageId, MessageEntry>();
  const bySender = new Map<string, MessageEntry>();
  for (const { id, message } of beside) messages.set(messageOfEnvelope(id), message.of ?? message);
  for (const { id, message } of envelopes) {
    const known = s.tickets.get(id);
    if (known !== undefined) messages.set(message, known.message.of ?? known.message);
  }
  const tickets: Ticket[] = [];
  for (const loaded of envelopes) {
    if (s.tickets.has(loaded.id)) continue;
    let message = messages.get(loaded.message);
    if (message === undefined) {
      message = enterMessage(s, loaded);
      messages.set(loaded.message, message);
    } else if (message.sender !== loaded.sender) message = entryBySender(s, bySender, message, loaded);
    tickets.push(enter(s, loaded, message));
  }
  return tickets;
}

function enterMessage(s: SchedulerState, loaded: LoadedEnvelope): MessageEntry {
  s.messageCount++;
  return newMessageEntry(s, loaded);
}

function enter(s: SchedulerState, loaded: LoadedEnvelope, message: MessageEntry): Ticket {
  const ticket = newTicket(s, loaded, message);
  message.total++;
  s.tickets.set(ticket.id, ticket);
  s.counts[liveStateOf(ticket)]++;
  return ticket;
}

function entryBySender(
  s: SchedulerState,
  known: Map<string, MessageEntry>,
  of: MessageEntry,
  loaded: LoadedEnvelope,
): MessageEntry {
  const key = `${loaded.message} ${loaded.sender}`;
  let entry = known.get(key);
  if (entry === undefined) {
    entry = newMessageEntry(s, loaded);
    entry.of = of;
    of.others = (of.others ?? 0) + 1;
    known.set(key, entry);
  }
  return entry;
}

function newMessageEntry(s: SchedulerState, loaded: LoadedEnvelope): MessageEntry {
  const entry: MessageEntry = {
    sender: sharedText(s.texts, loaded.sender),
    receivedAt: loaded.receivedAt,
    sizeBytes: loaded.sizeBytes,
    deliverBy:
      loaded.deliverByAt === undefined || loaded.deliverByMode === undefined
        ? undefined
        : { at: loaded.deliverByAt, mode: loaded.deliverByMode },
    total: 0,
    inPlay: 0,
  };
  if (loaded.messageSender !== undefined) entry.messageSender = sharedText(s.texts, loaded.messageSender);
  if (loaded.tenant !== undefined) entry.tenant = sharedText(s.texts, loaded.tenant);
  if (loaded.priority !== undefined && loaded.priority !== 0) entry.priority = loaded.priority;
  return entry;
}

function newTicket(s: SchedulerState, loaded: LoadedEnvelope, message: MessageEntry): Ticket {
  const { progress, givenRecipient, lastHost } = loaded;
  const { dueAt, expiresAt, beganAt, warnedAt, heldUntilAt, heldBecause, quarantine, isScheduled } = progress;
  const ticket: Ticket = {
    id: loaded.id,
    message,
    recipient: loaded.recipient,
    action: sharedName(s.names, loaded.action),
    wantsDelayNotice: loaded.wantsDelayNotice,
    state: sharedState(progress.state),
    place: "waiting",
    dueMs: undefined,
    expiresMs: undefined,
    attempts: progress.attempts,
    readyMs: undefined,
    warnedMs: undefined,
    lastHost: lastHost === undefined ? undefined : sharedText(s.texts, lastHost),
    lastRound: loaded.wasAway === true ? roundBeforeStart(s, loaded) : undefined,
    queue: undefined,
    previous: undefined,
    next: undefined,
    heapAt: -1,
  };
  if (givenRecipient !== undefined) ticket.givenRecipient = givenRecipient;
  if (loaded.notBeforeAt !== undefined) ticket.notBeforeAt = loaded.notBeforeAt;
  setDueAt(ticket, dueAt);
  // This start may have come with other settings.
  if (loaded.wasMisconfigured === true) setDueSoon(ticket, s.now);
  setExpiresAt(ticket, expiresAt);
  if (warnedAt !== undefined) setWarnedAt(ticket, warnedAt);
  if (heldUntilAt !== undefined) ticket.heldUntilAt = heldUntilAt;
  if (heldBecause !== undefined) ticket.heldBecause = heldBecause;
  if (quarantine !== undefined) ticket.quarantine = quarantine;
  if (isScheduled !== undefined) ticket.isScheduled = isScheduled;
  setBeganAt(s.settings.scheduler, ticket, beganAt);
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
  const entry = ticket.message;
  if (--entry.total > 0) return;
  const message = entry.of ?? entry;
  if (entry.of !== undefined) message.others = (message.others ?? 1) - 1;
  if (message.total > 0 || (message.others ?? 0) > 0) return;
  s.messageCount--;
  s.out.push(tell(removed, { message: messageOfEnvelope(ticket.id) }));
}

/** The message's own, whatever its envelopes go as. */
export function ownSenderOf({ sender, messageSender = sender }: MessageEntry): string {
  return messageSender;
}

/** The durable form, without the last failure, which only the store keeps. */
export function progressOf(s: SchedulerState, ticket: Ticket): EnvelopeProgress {
  const warnedAt = warnedAtOf(ticket);
  const beganAt = beganAtOf(s.settings.scheduler, ticket);
  const progress: { -readonly [Name in keyof EnvelopeProgress]: EnvelopeProgress[Name] } = {
    state: ticket.state,
    dueAt: dueAtOf(ticket),
    expiresAt: expiresAtOf(ticket),
    attempts: ticket.attempts,
  };
  // What is not there is no field of it: it is written down.
  if (beganAt !== undefined) progress.beganAt = beganAt;
  if (warnedAt !== undefined) progress.warnedAt = warnedAt;
  if (ticket.heldUntilAt !== undefined) progress.heldUntilAt = ticket.heldUntilAt;
  if (ticket.heldBecause !== undefined) progress.heldBecause = ticket.heldBecause;
  if (ticket.quarantine !== undefined) progress.quarantine = ticket.quarantine;
  if (ticket.isScheduled !== undefined) progress.isScheduled = ticket.isScheduled;
  return progress;
}

/** When the sender is to be told of the delay: once, and never the null sender. */
export function warnAt(s: SchedulerState, ticket: Ticket): number {
  if (ticket.warnedMs !== undefined || !ticket.wantsDelayNotice || ticket.message.sender === "") return Infinity;
  const { deliverBy, receivedAt } = ticket.message;
  const { warnAgainAt = 0 } = ticket;
  // RFC 2852 section 4: in mode `notify` the delay is told at the time that the sender chose.
  if (deliverBy?.mode === "notify") return Math.max(deliverBy.at, warnAgainAt);
  const { warnAfter, expireAfter } = s.settings.scheduler;
  // FUTURERELEASE and a late release from hold: the delay counts from when it might first be tried.
  const beganAt = Math.max(receivedAt, expiresAtOf(ticket) - expireAfter);
  return warnAfter === 0 ? Infinity : Math.max(beganAt + warnAfter, warnAgainAt);
}

/** RFC 2852 section 4: in mode `return` an envelope is not tried after this. */
export function returnAt(ticket: Ticket): number {
  const { deliverBy } = ticket.message;
  return deliverBy?.mode === "return" ? deliverBy.at : Infinity;
}
