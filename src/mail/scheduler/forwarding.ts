import { messageOf } from "../../foundation/error.ts";
import { envelopeIdOf, partsOfEnvelopeId, type MessageId } from "../../foundation/ids.ts";
import type { Forwarded, LocalOutcome, Outcome } from "../delivery/delivery.ts";
import { PLACED_LATER } from "../envelope/content-filter.ts";
import type { Envelope, Message } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import type { Store } from "../queue/store.ts";
import type { Expanded } from "./expanded.ts";
import { internalFailure } from "./internal-failure.ts";

/** Where the targets of a forward go: through the same aliases and rules as what comes in. Must not reject. */
export interface Forwards {
  expand(message: Message, envelope: Envelope, forwarded: Forwarded): Promise<ForwardsAnswer>;
  /** Of mail whose content filter is not in the settings any more. */
  place(message: Message, envelope: Envelope): Promise<ForwardsAnswer>;
}

export type ForwardsAnswer =
  | { readonly kind: "envelopes"; readonly envelopes: readonly Omit<Envelope, "id" | "message">[] }
  | { readonly kind: "failed"; readonly failure: Failure };

/** Makes envelopes of what final deliveries send on, each with a number that its message never had before. */
export class Forwarding {
  readonly #store: Pick<Store, "message" | "list">;
  readonly #forwards: Forwards | undefined;
  readonly #numbered = new Map<MessageId, number>();

  constructor(store: Pick<Store, "message" | "list">, forwards: Forwards | undefined) {
    this.#store = store;
    this.#forwards = forwards;
  }

  /** What the scheduler is told of an outcome. Never rejects. */
  async settle(message: Message, envelope: Envelope, outcome: LocalOutcome): Promise<Outcome | Expanded> {
    if (outcome.kind !== "forwarded") return outcome;
    return this.#replace(message, envelope, outcome, async (forwards) => forwards.expand(message, envelope, outcome));
  }

  /** The rules say where it goes: its content filter is gone, or they could not when it was made. Never rejects. */
  place(message: Message, envelope: Envelope): Promise<Outcome | Expanded> {
    const why = envelope.action === PLACED_LATER ? "" : "its content filter is not in the settings any more: ";
    const text = `${why}placed by the rules`;
    const about = { relay: "rules", text, tookMs: 0 };
    return this.#replace(message, envelope, about, async (forwards) => forwards.place(message, envelope));
  }

  async #replace(
    message: Message,
    envelope: Envelope,
    { relay, text, tookMs }: Pick<Forwarded, "relay" | "text" | "tookMs">,
    ask: (forwards: Forwards) => Promise<ForwardsAnswer>,
  ): Promise<Outcome | Expanded> {
    const failed = (failure: Failure): Outcome => ({ kind: "failed", envelope: envelope.id, relay, failure, tookMs });
    if (this.#forwards === undefined) return failed(internalFailure("nothing here can send mail on"));
    try {
      const answer = await ask(this.#forwards);
      if (answer.kind === "failed") return failed(answer.failure);
      const last = await this.#take(message.id, answer.envelopes.length);
      const first = last - answer.envelopes.length + 1;
      const envelopes = answer.envelopes.map((one, at) => {
        return { ...one, id: envelopeIdOf(message.id, first + at), message: message.id };
      });
      return { kind: "expanded", envelope: envelope.id, relay, envelopes, text, tookMs };
    } catch (thrown) {
      return failed(internalFailure(`the targets of ${relay} could not be found: ${messageOf(thrown)}`));
    }
  }

  forget(id: MessageId): void {
    this.#numbered.delete(id);
  }

  /** The last of so many numbers. What is not used in the end is left out: they only rise. */
  async #take(id: MessageId, count: number): Promise<number> {
    if (!this.#numbered.has(id)) {
      const [stored, rows] = await Promise.all([this.#store.message(id), this.#store.list({ message: id })]);
      // A message of an older format has not counted: then what it has is all that is known.
      const there = rows.map(({ envelope }) => partsOfEnvelopeId(envelope)?.index ?? 0);
      const highest = there.reduce((most, index) => Math.max(most, index), stored?.numbered ?? 1);
      // Another forward of the same message may have asked meanwhile.
      if (!this.#numbered.has(id)) this.#numbered.set(id, highest);
    }
    const last = (this.#numbered.get(id) ?? 0) + count;
    this.#numbered.set(id, last);
    return last;
  }
}

/** An envelope that needs no delivery to end. Undefined: it does. */
export function withoutDelivery({ id, target }: Envelope): Outcome | undefined {
  if (target?.kind === "error") {
    return { kind: "failed", envelope: id, relay: "alias", failure: target.failure, tookMs: 0 };
  }
  if (target?.kind !== "none") return undefined;
  return {
    kind: "delivered",
    envelope: id,
    relay: "alias",
    text: target.text,
    status: "2.0.0",
    dsnPassedOn: false,
    isFinal: true,
    taker: target.isThrownAway === true ? "nobody" : "list",
    tookMs: 0,
  };
}
