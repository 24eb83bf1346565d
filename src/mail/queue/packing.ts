import { numberOfMessageId, partsOfEnvelopeId } from "../../foundation/ids.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { AttemptRecord, NewEnvelope, Operation } from "./store.ts";
import type { Envelope, EnvelopeProgress, Message } from "../envelope/envelope.ts";
import { unreachable } from "../../foundation/assert.ts";

/**
 * Batches on their way to the writer's thread: one flat list of plain values, in the order in which the statements take
 * them, and one block with all inline bodies. Cloning objects between threads would cost more than writing their rows.
 *
 *     batch  := count operation*
 *     commit := COMMIT id sender receivedAt sizeBytes deliverByAt bodyFile bodyBytes facts bodyOffset count envelope*
 *     envelope := n recipient domain action facts state dueAt expiresAt attempts progress lastFailure
 *     add    := ADD id highest count envelope*
 *     update := UPDATE id n state dueAt expiresAt attempts progress lastFailure hasAttempt [attempt]
 *     attempt := startedAt tookMs outcome relay failure reply
 *     remove := REMOVE id n
 *     note   := NOTE key text
 */
export interface Packing {
  readonly values: PackedValue[];
  readonly bodies: Uint8Array[];
  bodyBytes: number;
}

export type PackedValue = string | number | null;

export const COMMIT = 1;
export const UPDATE = 2;
const REMOVE = 3;
export const NOTE = 4;
export const ADD = 5;

export function newPacking(): Packing {
  return { values: [], bodies: [], bodyBytes: 0 };
}

/** Adds a batch; throws `SPOOL_REFUSED`, with nothing added, when it contradicts itself. */
export function packBatch(batch: readonly Operation[], into: Packing): void {
  for (const operation of batch) refuseNonsense(operation);
  into.values.push(batch.length);
  for (const operation of batch) pack(operation, into);
}

function pack(operation: Operation, into: Packing): void {
  const { values } = into;
  switch (operation.do) {
    case "commit": {
      const { id, sender, receivedAt, sizeBytes } = operation.message;
      const facts = keptFacts(operation.message);
      const { body } = operation;
      const count = operation.envelopes.length;
      const kept = count > 1 ? { ...facts, numbered: highestOf(operation.envelopes) } : facts;
      const deliverByAt = operation.message.deliverBy?.at;
      values.push(COMMIT, idOf(id), sender, Math.round(receivedAt), sizeBytes);
      values.push(deliverByAt === undefined ? null : Math.round(deliverByAt));
      if (body.kind === "file") values.push(body.name, body.sizeBytes, JSON.stringify(kept), 0);
      else {
        values.push(null, body.bytes.length, JSON.stringify(kept), into.bodyBytes);
        into.bodies.push(body.bytes);
        into.bodyBytes += body.bytes.length;
      }
      values.push(count);
      for (const envelope of operation.envelopes) packEnvelope(envelope, values);
      return;
    }
    case "add":
      values.push(ADD, idOf(operation.message), highestOf(operation.envelopes), operation.envelopes.length);
      for (const envelope of operation.envelopes) packEnvelope(envelope, values);
      return;
    case "update": {
      const { message, index } = partsOf(operation.envelope);
      values.push(UPDATE, message, index);
      packProgress(operation.progress, values);
      values.push(operation.attempt === undefined ? 0 : 1);
      if (operation.attempt !== undefined) packAttempt(operation.attempt, values);
      return;
    }
    case "remove": {
      const { message, index } = partsOf(operation.envelope);
      values.push(REMOVE, message, index);
      return;
    }
    case "note":
      values.push(NOTE, operation.key, operation.text ?? null);
      return;
    default:
      unreachable(operation);
  }
}

/** What has no column of its own. Each by its name: taking the rest of an object costs more than writing it down. */
function keptFacts({
  content,
  isInternational,
  messageIdField,
  origin,
  priority,
  tenant,
  dsnReturn,
  dsnEnvelopeId,
  deliverBy,
}: Message): Record<Exclude<keyof Message, "id" | "sender" | "receivedAt" | "sizeBytes">, unknown> {
  return {
    content,
    isInternational,
    messageIdField,
    origin,
    priority,
    tenant,
    dsnReturn,
    dsnEnvelopeId,
    deliverBy,
  };
}

function packEnvelope({ envelope, progress }: NewEnvelope, values: PackedValue[]): void {
  const { id, recipient, action, notify, givenRecipient, originalRecipient, notBeforeAt, sender, target, via } =
    envelope;
  const { isListMember } = envelope;
  const facts = {
    notify: notify.length === 0 ? undefined : notify,
    givenRecipient,
    originalRecipient,
    notBeforeAt,
    sender,
    target,
    via,
    isListMember,
  } satisfies Record<Exclude<keyof Envelope, "id" | "message" | "recipient" | "action">, unknown>;
  values.push(partsOf(id).index, recipient, domainOf(recipient), action, jsonOrNull(facts));
  packProgress(progress, values);
}

function packProgress(progress: EnvelopeProgress, values: PackedValue[]): void {
  const { state, dueAt, expiresAt, attempts, lastFailure, ...facts } = progress;
  const { beganAt, warnedAt, heldUntilAt, heldBecause, quarantine, isScheduled } = facts;
  const began = beganAt === undefined ? undefined : Math.round(beganAt);
  // Most have nothing else: `rows.ts` reads that without a parser.
  const rest = { beganAt: began, warnedAt, heldUntilAt, heldBecause, quarantine, isScheduled } satisfies Record<
    Exclude<keyof EnvelopeProgress, "state" | "dueAt" | "expiresAt" | "attempts" | "lastFailure">,
    unknown
  >;
  values.push(state, Math.round(dueAt), Math.round(expiresAt), attempts, jsonOrNull(rest));
  values.push(lastFailure === undefined ? null : JSON.stringify(lastFailure));
}

function packAttempt(attempt: AttemptRecord, values: PackedValue[]): void {
  const { startedAt, tookMs, outcome, relay, failure, replyText } = attempt;
  values.push(Math.round(startedAt), Math.round(tookMs), outcome, relay);
  values.push(failure === undefined ? null : JSON.stringify(failure), replyText ?? null);
}

/** The highest number among envelopes of a message. */
export function highestOf(envelopes: readonly NewEnvelope[]): number {
  return envelopes.reduce((most, { envelope }) => Math.max(most, partsOfEnvelopeId(envelope.id)?.index ?? 0), 0);
}

/** JSON of what is set; null when nothing is, which most rows are. */
function jsonOrNull(fields: Readonly<Record<string, unknown>>): string | null {
  for (const name in fields) if (fields[name] !== undefined) return JSON.stringify(fields);
  return null;
}

/** The part behind the last `@`, in lower case; `""` for `postmaster` alone. */
export function domainOf(recipient: string): string {
  const at = recipient.lastIndexOf("@");
  return at < 0 ? "" : recipient.slice(at + 1).toLowerCase();
}

export function refuseNonsense(operation: Operation): void {
  if (operation.do === "note") {
    if (operation.key === "") throw refusal("a note has no key");
    return;
  }
  if (operation.do !== "commit" && operation.do !== "add") {
    partsOf(operation.envelope);
    return;
  }
  const message = operation.do === "commit" ? operation.message.id : operation.message;
  idOf(message);
  // A message without envelopes would never be removed.
  if (operation.envelopes.length === 0) throw refusal(`message ${message} has no envelope`);
  const indexes = new Set<number>();
  for (const { envelope } of operation.envelopes) {
    const parts = partsOfEnvelopeId(envelope.id);
    if (parts?.message !== message || indexes.has(parts.index))
      throw refusal(`envelope ${envelope.id} does not belong to message ${message}, or comes twice`);
    indexes.add(parts.index);
  }
}

function idOf(id: string): number {
  const number = numberOfMessageId(id);
  if (number === undefined) throw refusal(`"${id}" is no message id`);
  return number;
}

function partsOf(id: string): { message: number; index: number } {
  const parts = partsOfEnvelopeId(id);
  if (parts === undefined) throw refusal(`"${id}" is no envelope id`);
  return { message: idOf(parts.message), index: parts.index };
}

export function refusal(message: string): PosthornError {
  return new PosthornError("SPOOL_REFUSED", { message, advice: "the client is asked to send the message again" });
}
