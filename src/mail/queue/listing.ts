import { numberOfMessageId, partsOfEnvelopeId } from "../../foundation/ids.ts";
import { senderOf, type Envelope, type EnvelopeProgress, type Message } from "../envelope/envelope.ts";
import { domainOf } from "./packing.ts";
import { NO_RELAY, wantsDelayNotice, wasAway, wasMisconfigured } from "./rows.ts";
import type {
  AttemptRecord,
  ListedState,
  LoadedEnvelope,
  QueueFilter,
  QueuePlace,
  QueueRow,
  StoredEnvelope,
} from "./store.ts";

/** Lists, for stores that keep whole messages and envelopes and have no SQL to ask. */

/** Whom the newest of these came to that came to anybody. */
export function lastRelayOf(attempts: readonly AttemptRecord[]): string | undefined {
  return attempts.findLast(({ relay }) => relay !== NO_RELAY)?.relay;
}

/** What the scheduler is told of an envelope after a start. `relay`: whom its last attempt came to. */
export function loadedEnvelope(
  message: Message,
  { envelope, progress: stored, relay }: StoredEnvelope & { readonly relay?: string | undefined },
): LoadedEnvelope {
  const { lastFailure, ...progress } = stored;
  const { deliverBy, priority, tenant } = message;
  const { givenRecipient, notBeforeAt } = envelope;
  const sender = senderOf(message, envelope);
  const lastHost = progress.attempts === 0 ? undefined : relay;
  return {
    id: envelope.id,
    message: envelope.message,
    recipient: envelope.recipient,
    sender,
    ...(sender === message.sender ? {} : { messageSender: message.sender }),
    action: envelope.action,
    sizeBytes: message.sizeBytes,
    receivedAt: message.receivedAt,
    progress,
    ...(givenRecipient === undefined ? {} : { givenRecipient }),
    ...(deliverBy === undefined ? {} : { deliverByAt: deliverBy.at, deliverByMode: deliverBy.mode }),
    ...(notBeforeAt === undefined ? {} : { notBeforeAt }),
    ...(priority === undefined ? {} : { priority }),
    ...(tenant === undefined ? {} : { tenant }),
    wantsDelayNotice: wantsDelayNotice(sender, envelope.notify),
    ...(wasAway(progress, lastFailure?.cause.kind)
      ? { wasAway: true, ...(lastFailure?.host === undefined ? {} : { awayHost: lastFailure.host }) }
      : {}),
    ...(lastHost === undefined ? {} : { lastHost }),
    ...(wasMisconfigured(progress, lastFailure?.cause.kind) ? { wasMisconfigured: true } : {}),
  };
}

export function queueRow(message: Message, envelope: Envelope, progress: EnvelopeProgress): QueueRow {
  const { state, dueAt, expiresAt, attempts, lastFailure, heldBecause, heldUntilAt, quarantine } = progress;
  return {
    envelope: envelope.id,
    message: message.id,
    state,
    sender: senderOf(message, envelope),
    recipient: envelope.recipient,
    action: envelope.action,
    sizeBytes: message.sizeBytes,
    receivedAt: message.receivedAt,
    dueAt,
    expiresAt,
    attempts,
    ...(lastFailure === undefined ? {} : { lastFailure }),
    ...(heldBecause === undefined ? {} : { heldBecause }),
    ...(heldUntilAt === undefined ? {} : { heldUntilAt }),
    ...(quarantine === undefined ? {} : { quarantine }),
  };
}

export function placeOfRow(row: QueueRow): QueuePlace {
  return { message: numberOfMessageId(row.message) ?? -1, n: partsOfEnvelopeId(row.envelope)?.index ?? 0 };
}

export function isBehind(place: QueuePlace, other: QueuePlace): boolean {
  return place.message > other.message || (place.message === other.message && place.n > other.n);
}

/** `of` is the row's message: lists do not show where it came from. */
export function passesFilter(row: QueueRow, of: Message, filter: QueueFilter): boolean {
  const { state, sender, recipient, domain, message, envelope, origin, receivedBeforeAt, receivedAfterAt } = filter;
  return (
    (state === undefined || state === listedState(row)) &&
    (sender === undefined || [row.sender, of.sender].some((one) => fold(one) === fold(sender))) &&
    (recipient === undefined || fold(row.recipient) === fold(recipient)) &&
    (domain === undefined || domainOf(row.recipient) === domain.toLowerCase()) &&
    (message === undefined || row.message === message) &&
    (envelope === undefined || row.envelope === envelope) &&
    (origin === undefined || (of.origin.listener === origin.listener && of.origin.account === origin.account)) &&
    (receivedBeforeAt === undefined || row.receivedAt < receivedBeforeAt) &&
    (receivedAfterAt === undefined || row.receivedAt > receivedAfterAt)
  );
}

/** What has been tried and waits is deferred; what is queued has not been tried. */
function listedState({ state, attempts }: QueueRow): ListedState {
  return state === "queued" && attempts > 0 ? "deferred" : state;
}

/** ASCII only, as SQLite's NOCASE. */
function fold(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
