import type { EventDeclaration, FieldDeclaration, FieldsOf } from "../../foundation/events.ts";
import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { ConnectRequest, ResolveRequest } from "../delivery/delivery.ts";
import type { MailOperation } from "../queue/store.ts";
import type { Changed } from "./admin/admin.ts";
import type { NoticeAbout, NoticeRequest } from "./notices.ts";

/** What the scheduler wants done. The driver obeys in the order given and tells what came of it as an event. */
export type Action =
  /** Find the next hosts: one request for each way of the relay. Answered by `resolved`. */
  | { readonly do: "resolve"; readonly relay: string; readonly requests: readonly ResolveRequest[] }
  /** Answered by `connected`. */
  | { readonly do: "connect"; readonly request: ConnectRequest }
  /** Answered by `transacted`, after `gone` for envelopes that the store no longer has. */
  | {
      readonly do: "transact";
      readonly session: string;
      readonly message: MessageId;
      readonly envelopes: readonly EnvelopeId[];
    }
  | { readonly do: "leave"; readonly session: string }
  /** Answered by `delivered` or `gone`. */
  | { readonly do: "deliver"; readonly message: MessageId; readonly envelope: EnvelopeId; readonly attempt: number }
  /**
   * Make the notices and write all in one batch: exactly once. An update without an attempt leaves the last failure as
   * the store has it. Answered by `written` or, when a notice cannot be made, `unwritten`.
   */
  | {
      readonly do: "write";
      readonly write: number;
      readonly operations: readonly MailOperation[];
      readonly notices: readonly NoticePlan[];
    }
  /** Keep a text beside the mail, or (without one) nothing any more; then the command, if there is one, is done. */
  | {
      readonly do: "note";
      readonly key: string;
      readonly text?: string | undefined;
      readonly command?: number | undefined;
      readonly envelopes: number;
    }
  /** An operator's command is done, durably. */
  | ({ readonly do: "answer"; readonly command: number } & Changed)
  /** Send a `timer` event at this instant; replaces the one before. */
  | { readonly do: "timer"; readonly at: number }
  | Tell;

export interface Tell {
  readonly do: "tell";
  readonly event: EventDeclaration<never>;
  readonly fields: object;
}

/** A notice before envelopes and body are read from the store. */
export interface NoticePlan {
  readonly kind: NoticeRequest["kind"];
  readonly message: MessageId;
  readonly to?: string | undefined;
  readonly about: readonly (Omit<NoticeAbout, "envelope"> & { readonly envelope: EnvelopeId })[];
}

export function tell<Declared extends Record<string, FieldDeclaration>>(
  event: EventDeclaration<Declared>,
  fields: FieldsOf<Declared>,
): Tell {
  // Events and fields of all kinds go through one list; that they belong together is checked here, by the signature.
  return { do: "tell", event: event as unknown as EventDeclaration<never>, fields };
}
