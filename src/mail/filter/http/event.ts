import { rawFieldsOf, unfoldedValue } from "../../../protocol/message/raw-fields.ts";
import type { FilterFacts, FilterMail, FilterQuestion, MailFacts } from "../filter.ts";

/**
 * What a hook is told, as JSON. The form is described in docs/manual/filters.md; names are added to it, but none changes its
 * meaning without another `version`.
 */
export interface HookEventJson {
  readonly version: 1;
  readonly event: FilterQuestion["stage"] | "message";
  readonly filter: string;
  readonly session: Omit<FilterFacts, "session" | "mail"> & { readonly id: string };
  readonly mail?: Omit<MailFacts, "message" | "startedAt"> & { readonly id?: string | undefined };
  /** At `helo`. */
  readonly helo?: { readonly verb: string; readonly name: string };
  /** At `rcpt`: not yet among those of the mail. */
  readonly recipient?: { readonly address: string; readonly parameters: readonly string[] };
  /** At `message`. */
  readonly message?: {
    readonly sizeBytes: number;
    /** Our Received field, which will stand in front. */
    readonly trace: string;
    readonly fields: readonly { readonly name: string; readonly value: string }[];
  };
}

export function questionEvent(filter: string, question: FilterQuestion): HookEventJson {
  return {
    ...common(filter, question.stage, question.facts),
    ...(question.stage === "helo" ? { helo: { verb: question.verb, name: question.name } } : {}),
    ...(question.stage === "rcpt" ? { recipient: question.recipient } : {}),
  };
}

export function messageEvent(filter: string, mail: FilterMail): HookEventJson {
  return {
    ...common(filter, "message", mail.facts),
    message: {
      sizeBytes: mail.sizeBytes,
      trace: mail.trace,
      fields: rawFieldsOf(mail.header).flatMap((field) =>
        field.name === "" ? [] : [{ name: field.name, value: unfoldedValue(field) }],
      ),
    },
  };
}

function common(
  filter: string,
  event: HookEventJson["event"],
  facts: FilterFacts,
): Pick<HookEventJson, "version" | "event" | "filter" | "session" | "mail"> {
  const { session, mail, ...rest } = facts;
  if (mail === undefined) return { version: 1, event, filter, session: { id: session, ...rest } };
  const { message, startedAt: _startedAt, ...envelope } = mail;
  return {
    version: 1,
    event,
    filter,
    session: { id: session, ...rest },
    mail: { ...(message === undefined ? {} : { id: message }), ...envelope },
  };
}
