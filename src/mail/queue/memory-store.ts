import { PosthornError } from "../../foundation/error.ts";
import { partsOfEnvelopeId, type EnvelopeId, type MessageId } from "../../foundation/ids.ts";
import type { Message } from "../envelope/envelope.ts";
import { Census } from "./census.ts";
import { domainOf, highestOf, refusal, refuseNonsense } from "./packing.ts";
import { PAGE_ROWS } from "./pages.ts";
import { isBehind, lastRelayOf, loadedEnvelope, passesFilter, placeOfRow, queueRow } from "./listing.ts";
import { MOST_ATTEMPTS } from "./schema.ts";
import type { AttemptRecord, Body, NewEnvelope, Operation, QueueFilter, QueueRow, Store } from "./store.ts";

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
      } else if (operation.do === "add") {
        const there = leftOf(operation.message);
        const numbered = messages.get(operation.message)?.numbered ?? 0;
        if (there.size === 0 || operation.envelopes.some(({ envelope }) => indexOf(envelope.id) <= numbered))
          throw refusal(`message ${operation.message} is not there any more, or has had envelopes of these numbers`);
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
      messages.set(message.id, { message, body: kept, envelopes: held, numbered: highestOf(operation.envelopes) });
      envelopes += held.size;
      return;
    }
    if (operation.do === "add") {
      const held = messages.get(operation.message);
      if (held === undefined) return;
      for (const each of operation.envelopes)
        held.envelopes.set(indexOf(each.envelope.id), { ...each, attempts: [] as AttemptRecord[] });
      held.numbered = highestOf(operation.envelopes);
      envelopes += operation.envelopes.length;
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
    inOrder().flatMap((held) =>
      envelopesOf(held)
        .map(({ envelope, progress }) => queueRow(held.message, envelope, progress))
        .filter((row) => passesFilter(row, held.message, filter)),
    );

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
        yield envelopesOf(held).map((one) =>
          loadedEnvelope(held.message, { ...one, relay: lastRelayOf(one.attempts) }),
        );
    },
    async notes(prefix) {
      mustBeOpen();
      const found = [...notes].filter(([key]) => key.startsWith(prefix));
      return found.map(([key, text]) => ({ key, text })).sort((a, b) => (a.key < b.key ? -1 : 1));
    },
    async message(id) {
      mustBeOpen();
      const held = messages.get(id);
      if (held === undefined) return undefined;
      const { numbered } = held;
      return { ...held.message, bodyKind: held.body.kind, ...(numbered > 1 ? { numbered } : {}) };
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
      const left = listed(filter).filter((row) => behind === undefined || isBehind(placeOfRow(row), behind));
      const rows = left.slice(0, Math.min(PAGE_ROWS, filter.limit ?? PAGE_ROWS));
      const last = rows.at(-1);
      return {
        count: rows.length,
        envelopes: rows.map((row) => row.envelope),
        rows: rows.map((row) => JSON.stringify(row)),
        ...(last === undefined || rows.length === left.length ? {} : { next: placeOfRow(last) }),
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
  numbered: number;
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
