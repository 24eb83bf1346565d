import type { Clock } from "../../../foundation/clock.ts";
import { partsOfEnvelopeId, type EnvelopeId, type MessageId } from "../../../foundation/ids.ts";
import type { Envelope, Message } from "../../envelope/envelope.ts";
import type { CommitRequest } from "../../queue/queue.ts";
import type { Body, Store } from "../../queue/store.ts";

/** A message as deliveries and notices need it. */
export interface Content {
  readonly message: Message;
  /** Undefined where the queue has lost it: nothing can be delivered, but what becomes of it be told. */
  readonly body: Body | undefined;
  readonly envelopes: readonly Envelope[];
  /** Those of them that can only be told of: their own records or the message's are not what was written. */
  readonly damaged: readonly EnvelopeId[];
}

export interface WholeContent extends Content {
  readonly body: Body;
}

export const RECORD_DAMAGED = "its record in the queue's database is damaged";
export const CONTENT_LOST = "its content is not in the queue any more";

const MOST_BYTES = 8 * 1024 * 1024;
/** Mail that did not go within this waits for something, and will wait longer. */
const RECENT_MS = 5000;
const LOOK_EVERY_MS = 100;

/**
 * Messages, bodies and envelopes for deliveries: from the store, or from what was committed just now, so that mail that
 * passes straight through is not read back. What is remembered is bounded, in bytes and in time; what comes while there is
 * no room is not remembered, for what came first goes out first. Forgetting costs one read.
 */
export class Contents {
  readonly #store: Pick<Store, "message" | "body" | "envelopes">;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #mostBytes: number;
  readonly #recent = new Map<MessageId, Remembered>();
  #bytes = 0;
  #lookAtMs = 0;

  constructor(
    store: Pick<Store, "message" | "body" | "envelopes">,
    clock: Pick<Clock, "monotonicMs">,
    mostBytes = MOST_BYTES,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#mostBytes = mostBytes;
  }

  remember(request: CommitRequest): void {
    const now = this.#clock.monotonicMs();
    if (now >= this.#lookAtMs) this.#forgetOld(now);
    const cost = costOf(request);
    if (this.#bytes + cost > this.#mostBytes) return;
    this.#recent.set(request.message.id, { request: alone(request), sinceMs: now });
    this.#bytes += cost;
  }

  /** Not at each message: a map whose first entries are gone is slow to find the first one left. */
  #forgetOld(now: number): void {
    this.#lookAtMs = now + LOOK_EVERY_MS;
    for (const [id, { sinceMs }] of this.#recent) {
      if (now - sinceMs < RECENT_MS) break;
      this.forget(id);
    }
  }

  forget(id: MessageId): void {
    const remembered = this.#recent.get(id);
    if (remembered === undefined) return;
    this.#recent.delete(id);
    this.#bytes -= costOf(remembered.request);
  }

  /** Undefined when the message is gone; envelopes that are gone are left out. */
  async read(id: MessageId, envelopes: readonly EnvelopeId[]): Promise<Content | undefined> {
    const recent = this.#recent.get(id)?.request;
    if (recent !== undefined) {
      const { message, body } = recent;
      return { message, body, envelopes: envelopes.flatMap((each) => envelopeIn(recent, each)), damaged: [] };
    }
    const [message, body, stored] = await Promise.all([
      this.#store.message(id),
      this.#store.body(id),
      this.#store.envelopes(envelopes),
    ]);
    if (message === undefined) return undefined;
    const { bodyKind: _bodyKind, isDamaged, ...facts } = message;
    const damaged = stored.flatMap((each) => ((isDamaged ?? each.isDamaged) === true ? [each.envelope.id] : []));
    const byId = new Map(stored.map(({ envelope }) => [envelope.id, envelope]));
    return { message: facts, body, envelopes: envelopes.flatMap((each) => byId.get(each) ?? []), damaged };
  }
}

interface Remembered {
  readonly request: CommitRequest;
  readonly sinceMs: number;
}

/** The bytes may lie in a much larger block (a buffer that grew, a frame from another process) that would stay for them. */
function alone(request: CommitRequest): CommitRequest {
  const { body } = request;
  if (body.kind === "file" || body.bytes.buffer.byteLength < 2 * body.bytes.length) return request;
  return { ...request, body: { kind: "inline", bytes: new Uint8Array(body.bytes) } };
}

function envelopeIn(request: CommitRequest, id: EnvelopeId): readonly Envelope[] {
  // Envelopes are numbered from 1 in their order; a search is for those that are not.
  const guess = request.envelopes[(partsOfEnvelopeId(id)?.index ?? 0) - 1];
  const found = guess?.id === id ? guess : request.envelopes.find((envelope) => envelope.id === id);
  return found === undefined ? [] : [found];
}

/** Roughly: the content, and the objects around it. */
function costOf({ body, envelopes }: CommitRequest): number {
  return 1000 + 500 * envelopes.length + (body.kind === "inline" ? body.bytes.length : 0);
}
