import type { EnvelopeId } from "../../foundation/ids.ts";
import type { Outcome } from "../delivery/delivery.ts";
import type { Failure } from "../envelope/failure.ts";

/** Our own side could not do its part: it says nothing about the next host, and is tried again. */
export function internalFailure(text: string): Failure {
  return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text } };
}

/** So ended all of an attempt that came to nobody. */
export function failedAll(envelopes: readonly EnvelopeId[], failure: Failure): readonly Outcome[] {
  return envelopes.map((envelope) => ({ kind: "failed", envelope, relay: "none", failure, tookMs: 0 }));
}
