import { PosthornError } from "../../foundation/error.ts";
import { numberOfMessageId, partsOfEnvelopeId, type EnvelopeId, type MessageId } from "../../foundation/ids.ts";
import type { Message } from "../envelope/envelope.ts";
import { Census } from "./census.ts";
import { domainOf, refusal, refuseNonsense } from "./packing.ts";
import { PAGE_ROWS } from "./pages.ts";
import { wantsDelayNotice } from "./rows.ts";
import { MOST_ATTEMPTS } from "./schema.ts";
import type { AttemptRecord, Body, NewEnvelope, Operation, QueueFilter, QueuePlace, QueueRow, Store } from "./store.ts";

/** A store without a disk, for the simulator and tests: the same contract, durable as long as the object lives. */
export function memoryStore(): Store {
  const messages = new Map<MessageId, Held>();
  const notes = new Map<string, string>();
  let envelopes = 0;
  let commits = 0;
  let isClosed = false;

  const mustBeOpen = (): void => {
    if (isClosed)
      throw new PosthornError("STORE_CLOSED", { message: "the queue was closed", advice: "the server is stopping" });
  };
  const find = (id: EnvelopeId): HeldEnvelope | undefined => {
    const parts = partsOfEnvelopeId(id);
    return parts === undefined ? undefined : messages.get(parts.message)?.envelopes.get(parts.index);
  };
  const refuseImpossible = (batch: readonly Operation[]): void => {
    // What the batch has made of each message so far: a removal makes room for a commit behind it.
    const left = new Map<MessageId, Set<number>>();
    const leftOf = (id: MessageId): Set<number> => {
      const known = left.get(id) ?? new Set(messages.get(id)?.envelopes.keys());
      left.set(id, known);
      return known;
    };
    for (const operation of batch) {
      refuseNonsense(operation);
      if (operation.do === "remove") {
        const parts = partsOfEnvelopeId(operation.envelope);
        if (parts !== undefined) leftOf(parts.message).delete(parts.index);
      } else if (operation.do === "commit") {
        const { id } = operation.message;
        const there = leftOf(id);
        if (there.size > 0) throw refusal(`message ${id} is in the queue already`);
        for (const { envelope } of operation.envelopes) there.add(indexOf(envelope.id));
      }
    }
  };
  const perform = (operation: Operation): void => {
    if (operation.do === "commit") {
      const { message, body } = operation;
      const kept: Body = body.kind === "inline" ? { kind: "inline", bytes: body.bytes.slice() } : body;
      const held = new Map<number, HeldEnvelope>(
        operation.envelopes.map((each) => [indexOf(each.envelope.id), { ...each, attempts: [] as AttemptRecord[] }]),
      );
      messages.set(message.id, { message, body: kept, envelopes: held });
      envelopes += held.size;
      return;
    }
    if (operation.do === "note") {
      if (operation.text === undefined) notes.delete(operation.key);
      else notes.set(operation.key, operation.text);
      return;
    }
    const found = find(operation.envelope);
    if (found === undefined) return;
    if (operation.do === "update") {
      found.progress = operation.progress;
      if (operation.attempt !== undefined) found.attempts.push(operation.attempt);
      if (found.attempts.length > MOST_ATTEMPTS) found.attempts.shift();
      return;
    }
    const held = messages.get(found.envelope.message);
    held?.envelopes.delete(indexOf(operation.envelope));
    envelopes--;
    if (held?.envelopes.size === 0) messages.delete(held.message.id);
  };
  const inOrder = (): Held[] => [...messages.values()].sort((a, b) => (a.message.id < b.message.id ? -1 : 1));

  const listed = (filter: QueueFilter): QueueRow[] =>
    inOrder()
      .flatMap((held) => envelopesOf(held).map((envelope) => rowOf(held.message, envelope)))
      .filter((row) => passes(row, filter));

  return {
    async apply(batch) {
      mustBeOpen();
      refuseImpossible(batch);
      for (const operation of batch) perform(operation);
      commits++;
    },
    async *load() {
      mustBeOpen();
      for (const held of inOrder())
        yield envelopesOf(held).map(({ envelope, progress: { lastFailure: _lastFailure, ...progress } }) => ({
          id: envelope.id,
          message: envelope.message,
          recipient: envelope.recipient,
          sender: held.message.sender,
          action: envelope.action,
          sizeBytes: held.message.sizeBytes,
          receivedAt: held.message.receivedAt,
          progress,
          ...(envelope.givenRecipient === undefined ? {} : { givenRecipient: envelope.givenRecipient }),
          ...(held.message.deliverBy === undefined
            ? {}
            : { deliverByAt: held.message.deliverBy.at, deliverByMode: held.message.deliverBy.mode }),
          ...(envelope.notBeforeAt === undefined ? {} : { notBeforeAt: envelope.notBeforeAt }),
          ...(held.message.priority === undefined ? {} : { priority: held.message.priority }),
          ...(held.message.tenant === undefined ? {} : { tenant: held.message.tenant }),
          wantsDelayNotice: wantsDelayNotice(held.message.sender, envelope.notify),
        }));
    },
    async notes(prefix) {
      mustBeOpen();
      const found = [...notes].filter(([key]) => key.startsWith(prefix));
      return found.map(([key, text]) => ({ key, text })).sort((a, b) => (a.key < b.key ? -1 : 1));
    },
    async message(id) {
      mustBeOpen();
      const held = messages.get(id);
      return held === undefined ? undefined : { ...held.message, bodyKind: held.body.kind };
    },
    async envelopes(ids) {
      mustBeOpen();
      return ids.flatMap((id) => {
        const found = find(id);
        return found === undefined ? [] : [{ envelope: found.envelope, progress: found.progress }];
      });
    },
    async body(id) {
      mustBeOpen();
      return messages.get(id)?.body;
    },
    async list(filter) {
      mustBeOpen();
      const rows = listed(filter);
      return rows.slice(0, filter.limit ?? rows.length);
    },
    async page(filter, behind) {
      mustBeOpen();
      const left = listed(filter).filter((row) => behind === undefined || isBehind(placeOf(row), behind));
      const rows = left.slice(0, Math.min(PAGE_ROWS, filter.limit ?? PAGE_ROWS));
      const last = rows.at(-1);
      return {
        count: rows.length,
        envelopes: rows.map((row) => row.envelope),
        rows: rows.map((row) => JSON.stringify(row)),
        ...(last === undefined || rows.length === left.length ? {} : { next: placeOf(last) }),
      };
    },
    async census(now) {
      mustBeOpen();
      const census = new Census(now);
      for (const { message, envelopes: all } of messages.values())
        for (const { envelope } of all.values()) census.add(domainOf(envelope.recipient), message.receivedAt);
      return census.rows();
    },
    async attempts(id) {
      mustBeOpen();
      return [...(find(id)?.attempts ?? [])];
    },
    async backup() {
      throw new PosthornError("USAGE", {
        message: "a queue in memory cannot be backed up",
        advice: "use the embedded store",
      });
    },
    counters: () => ({ commits, syncs: commits, messages: messages.size, envelopes }),
    async [Symbol.asyncDispose]() {
      isClosed = true;
    },
  };
}

interface Held {
  readonly message: Message;
  readonly body: Body;
  readonly envelopes: Map<number, HeldEnvelope>;
}

interface HeldEnvelope extends NewEnvelope {
  progress: NewEnvelope["progress"];
  readonly attempts: AttemptRecord[];
}

function envelopesOf(held: Held): HeldEnvelope[] {
  return [...held.envelopes].sort(([a], [b]) => a - b).map(([, envelope]) => envelope);
}

function indexOf(id: EnvelopeId): number {
  return partsOfEnvelopeId(id)?.index ?? 0;
}

function rowOf(message: Message, { envelope, progress }: NewEnvelope): QueueRow {
  const { state, dueAt, expiresAt, attempts, lastFailure, heldBecause, heldUntilAt } = progress;
  return {
    envelope: envelope.id,
    message: message.id,
    state,
    sender: message.sender,
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
  };
}

function placeOf(row: QueueRow): QueuePlace {
  return { message: numberOfMessageId(row.message) ?? -1, n: indexOf(row.envelope) };
}

function isBehind(place: QueuePlace, other: QueuePlace): boolean {
  return place.message > other.message || (place.message === other.message && place.n > other.n);
}

function passes(row: QueueRow, filter: QueueFilter): boolean {
  const { state, sender, recipient, domain, message, envelope, receivedBeforeAt, receivedAfterAt } = filter;
  if (state === "deferred" ? row.state !== "queued" || row.attempts === 0 : state !== undefined && row.state !== state)
    return false;
  return (
    (sender === undefined || fold(row.sender) === fold(sender)) &&
    (recipient === undefined || fold(row.recipient) === fold(recipient)) &&
    (domain === undefined || domainOf(row.recipient) === domain.toLowerCase()) &&
    (message === undefined || row.message === message) &&
    (envelope === undefined || row.envelope === envelope) &&
    (receivedBeforeAt === undefined || row.receivedAt < receivedBeforeAt) &&
    (receivedAfterAt === undefined || row.receivedAt > receivedAfterAt)
  );
}

/** ASCII only, as SQLite's NOCASE. */
function fold(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
