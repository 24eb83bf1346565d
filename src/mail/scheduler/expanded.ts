import { messageOfEnvelope, type EnvelopeId } from "../../foundation/ids.ts";
import { senderOf, type Envelope } from "../envelope/envelope.ts";
import { wantsDelayNotice } from "../queue/rows.ts";
import type { LoadedEnvelope, NewEnvelope } from "../queue/store.ts";
import { schedule } from "./ready.ts";
import type { SchedulerState, Ticket } from "./state.ts";
import { admit, ownSenderOf } from "./ticket.ts";

/**
 * A final delivery that was a forward, after its targets went through aliases and rules: the envelopes that take its place.
 * They are written in the step that ends it, and are in the books before it leaves them, so that their message stays.
 */
export interface Expanded {
  readonly kind: "expanded";
  readonly envelope: EnvelopeId;
  readonly relay: string;
  readonly envelopes: readonly Envelope[];
  readonly text: string;
  readonly tookMs: number;
}

/** The store has what came in the ticket's place. */
export function takeUpAdded(s: SchedulerState, cause: Ticket, added: readonly NewEnvelope[]): void {
  const { message } = cause;
  const { receivedAt, sizeBytes, deliverBy, tenant, priority } = message.of ?? message;
  const sender = ownSenderOf(message);
  s.since.queued += added.length;
  const envelopes = added.map(({ envelope, progress }): LoadedEnvelope => {
    const from = senderOf({ sender }, envelope);
    return {
      id: envelope.id,
      message: messageOfEnvelope(cause.id),
      recipient: envelope.recipient,
      sender: from,
      ...(from === sender ? {} : { messageSender: sender }),
      action: envelope.action,
      sizeBytes,
      receivedAt,
      progress,
      givenRecipient: envelope.givenRecipient,
      deliverByAt: deliverBy?.at,
      deliverByMode: deliverBy?.mode,
      tenant,
      priority,
      notBeforeAt: envelope.notBeforeAt,
      wantsDelayNotice: wantsDelayNotice(from, envelope.notify),
    };
  });
  for (const ticket of admit(s, envelopes, [cause])) schedule(s, ticket);
}
