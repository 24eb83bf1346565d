import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Outcome } from "../delivery.ts";

/** Delivery into nothing: the rules asked for it, so it is a delivery, said so in the log, and no bounce. */
export function discard(envelope: EnvelopeId): Outcome {
  return {
    kind: "delivered",
    envelope,
    relay: "discard",
    text: "discarded, as the rules ask",
    status: "2.0.0",
    dsnPassedOn: false,
    isFinal: true,
    taker: "nobody",
    tookMs: 0,
  };
}
