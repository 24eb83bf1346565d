import { partsOfEnvelopeId, type EnvelopeId, type MessageId } from "../../foundation/ids.ts";
import type { Envelope, Message } from "../envelope/envelope.ts";
import type { CommitRequest } from "../queue/queue.ts";
import type { Body, Store } from "../queue/store.ts";

/** A message as deliveries need it. */
export interface Content {
  readonly message: Message;
  readonly body: Body;
  readonly envelopes: readonly Envelope[];
}

/**
 * Messages, bodies and envelopes for deliveries: from the store, or from what was committed just now, so that mail that
 * passes straight through is not read back. What is remembered is bounded; forgetting costs one read.
 */
export class Contents {
  readonly #store: Pick<Store, "message" | "body" | "envelopes">;
  readonly #recent = new Map<MessageId, CommitRequest>();
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(store: Pick<Store, "message" | "body" | "envelopes">, mostBytes = 16 * 1024 * 1024) {
    this.#store = store;
    this.#mostBytes = mostBytes;
  }

  remember(request: CommitRequest): void {
    const cost = costOf(request);
    if (cost > this.#mostBytes / 16) return;
    this.#recent.set(request.message.id, request);
    this.#bytes += cost;
    for (const oldest of this.#recent.keys()) {
      if (this.#bytes <= this.#mostBytes) break;
      this.forget(oldest);
    }
  }

  forget(id: MessageId): void {
    const request = this.#recent.get(id);
    if (request === undefined) return;
    this.#recent.delete(id);
    this.#bytes -= costOf(request);
  }

  /** Undefined when the message is gone; envelopes that are gone are left out. */
  async read(id: MessageId, envelopes: readonly EnvelopeId[]): Promise<Content | undefined> {
    const recent = this.#recent.get(id);
    if (recent !== undefined) {
      const { message, body } = recent;
      return { message, body, envelopes: envelopes.flatMap((each) => envelopeIn(recent, each)) };
    }
    const [message, body, stored] = await Promise.all([
      this.#store.message(id),
      this.#store.body(id),
      this.#store.envelopes(envelopes),
    ]);
    if (message === undefined || body === undefined) return undefined;
    const { bodyKind: _bodyKind, ...facts } = message;
    const byId = new Map(stored.map(({ envelope }) => [envelope.id, envelope]));
    return { message: facts, body, envelopes: envelopes.flatMap((each) => byId.get(each) ?? []) };
  }
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
