import { messageOf } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { LocalDelivery, NetworkDelivery, Outcome, Transacted } from "../delivery/delivery.ts";
import { recordDamaged } from "../queue/events.ts";
import { isContentFilterAction } from "../envelope/content-filter.ts";
import type { Envelope } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import type { Action } from "./action.ts";
import { contentLost, deliveryUnavailable } from "./events.ts";
import type { Expanded } from "./expanded.ts";
import { withoutDelivery, type Forwarding } from "./forwarding.ts";
import { failedAll, internalFailure } from "./internal-failure.ts";
import type { SchedulerEvent } from "./scheduler.ts";
import { CONTENT_LOST, RECORD_DAMAGED, type Contents, type WholeContent } from "./writing/contents.ts";

export interface AttemptParts {
  readonly network: NetworkDelivery;
  readonly local: LocalDelivery;
  readonly emit: Emit;
  readonly contents: Contents;
  readonly forwarding: Forwarding;
  /** Tells the scheduler what came of it. */
  readonly post: (event: SchedulerEvent) => void;
  readonly onQueueError: (thrown: unknown) => void;
}

/**
 * Asks the deliveries: for next hosts, sessions, transactions and final deliveries. Whatever a delivery does (reject, say
 * nothing, die with its process) becomes an answer to the scheduler; nothing here rejects.
 */
export class Attempts {
  readonly #parts: AttemptParts;
  /** Envelopes in attempts and in the writes after them: what they asked for. */
  readonly #inFlight = new Map<EnvelopeId, Envelope>();
  /** What was asked last about each relay's hosts: after other settings there may be another of the same key. */
  readonly #resolving = new Map<string, Action>();

  constructor(parts: AttemptParts) {
    this.#parts = parts;
  }

  /** As its attempt read it, until its outcome is written. */
  envelope(id: EnvelopeId): Envelope | undefined {
    return this.#inFlight.get(id);
  }

  forget(id: EnvelopeId): void {
    this.#inFlight.delete(id);
  }

  async resolve(action: Extract<Action, { do: "resolve" }>): Promise<void> {
    const { relay, requests } = action;
    this.#resolving.set(relay, action);
    const answers = await Promise.all(
      requests.map((request) =>
        this.#parts.network
          .resolve(request)
          .catch((thrown: unknown) => ({ ok: false, failure: this.#noteDeath("finding next hosts", thrown) }) as const),
      ),
    );
    const isStale = this.#resolving.get(relay) !== action || undefined;
    if (isStale === undefined) this.#resolving.delete(relay);
    this.#parts.post({ on: "resolved", relay, answers, isStale });
  }

  async connect({ request }: Extract<Action, { do: "connect" }>): Promise<void> {
    const connected = await this.#parts.network.connect(request).catch((thrown: unknown) => {
      return { ok: false, failure: this.#noteDeath("opening a session", thrown), scope: "relay", tookMs: 0 } as const;
    });
    this.#parts.post({ on: "connected", session: request.session, connected });
  }

  async transact({ session, message, envelopes }: Extract<Action, { do: "transact" }>): Promise<void> {
    this.#parts.post({ on: "transacted", session, transacted: await this.#transacted(session, message, envelopes) });
  }

  async #transacted(session: string, message: MessageId, ids: readonly EnvelopeId[]): Promise<Transacted> {
    const content = await this.#read(message, ids);
    if (content === "gone") {
      this.#parts.post({ on: "gone", envelopes: ids });
      return { outcomes: [], isUsable: true };
    }
    if ("cause" in content) return { outcomes: failedAll(ids, content), isUsable: true };
    if (content.envelopes.length < ids.length) {
      const there = new Set(content.envelopes.map((envelope) => envelope.id));
      this.#parts.post({ on: "gone", envelopes: ids.filter((id) => !there.has(id)) });
    }
    const { damaged } = content;
    const unsent = failedAll(damaged, internalFailure(RECORD_DAMAGED));
    const sound = content.envelopes.filter(({ id }) => !damaged.includes(id));
    try {
      const { message: facts, body } = content;
      const sent = await this.#parts.network.transact({ session, message: facts, body, envelopes: sound });
      return unsent.length === 0 ? sent : { ...sent, outcomes: [...sent.outcomes, ...unsent] };
    } catch (thrown) {
      const failure = this.#noteDeath("a transaction", thrown);
      const asked = ids.filter((id) => !damaged.includes(id));
      const outcomes = [...failedAll(asked, failure), ...unsent];
      return { outcomes, isUsable: false, ended: { failure, scope: "relay" } };
    }
  }

  leave({ session }: Extract<Action, { do: "leave" }>): void {
    this.#parts.network.leave(session).catch((thrown: unknown) => this.#noteDeath("closing a session", thrown));
  }

  async deliver({ message, envelope: id, attempt }: Extract<Action, { do: "deliver" }>): Promise<void> {
    this.#parts.post({ on: "delivered", envelope: id, outcome: await this.#delivered(message, id, attempt) });
  }

  async #delivered(id: MessageId, envelopeId: EnvelopeId, attempt: number): Promise<Outcome | Expanded | undefined> {
    const content = await this.#read(id, [envelopeId]);
    if (content === "gone") return undefined;
    if ("cause" in content) return failedAll([envelopeId], content)[0];
    const { message, body, envelopes } = content;
    const envelope = envelopes[0];
    if (envelope === undefined) return undefined;
    const known = withoutDelivery(envelope);
    if (known !== undefined) return known;
    if (isContentFilterAction(envelope.action)) return this.#parts.forwarding.place(message, envelope);
    try {
      const outcome = await this.#parts.local.deliver({ message, body, envelope, attempt });
      return await this.#parts.forwarding.settle(message, envelope, outcome);
    } catch (thrown) {
      return failedAll([envelopeId], this.#noteDeath("a final delivery", thrown))[0];
    }
  }

  /** Reads what an attempt needs. */
  async #read(message: string, ids: readonly EnvelopeId[]): Promise<WholeContent | "gone" | Failure> {
    try {
      const content = await this.#parts.contents.read(message, ids);
      if (content === undefined || content.envelopes.length === 0) return "gone";
      for (const envelope of content.envelopes) this.#inFlight.set(envelope.id, envelope);
      const { body, damaged, envelopes } = content;
      if (damaged.length > 0) this.#parts.emit(recordDamaged, { message });
      if (damaged.length === envelopes.length) return internalFailure(RECORD_DAMAGED);
      if (body !== undefined) return { ...content, body };
      this.#parts.emit(contentLost, { message });
      return internalFailure(CONTENT_LOST);
    } catch (thrown) {
      this.#parts.onQueueError(thrown);
      return internalFailure(`the queue could not be read: ${messageOf(thrown)}`);
    }
  }

  /** A delivery's process is gone, or it broke its promise never to reject. */
  #noteDeath(what: string, thrown: unknown): Failure {
    this.#parts.emit(deliveryUnavailable, { what, problem: messageOf(thrown) });
    return internalFailure(`${what}: ${messageOf(thrown)}`);
  }
}
