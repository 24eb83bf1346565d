import { envelopeIdOf, type MessageId } from "../../foundation/ids.ts";
import { foldKey } from "../../service/table/pattern.ts";
import type { Envelope, Notify } from "./envelope.ts";
import type { Target } from "./policy.ts";

/** An envelope before its message gives it a number. */
export type EnvelopeDraft = Omit<Envelope, "id" | "message">;

/** What an envelope has from the recipient that it was expanded from. */
export interface Wishes {
  /** The recipient as it was given. */
  readonly given: string;
  readonly originalRecipient?: string | undefined;
  readonly notify: readonly Notify[];
  readonly notBeforeAt?: number | undefined;
  /** The sender that it had already, where that was not the message's. */
  readonly sender?: string | undefined;
  /** A list's member has it, and sends it on. */
  readonly isListMember?: true | undefined;
}

/**
 * The envelope of a target; undefined where nobody wants one. RFC 3461 section 5.2.7: an alias passes NOTIFY and ORCPT
 * on, ENVID and RET with them; a list does not: its members' failures are its owner's, and success is that the list has the mail.
 */
export function draftOf(target: Target, wishes: Wishes): EnvelopeDraft | undefined {
  const { recipient, action, via } = target;
  if (target.isReceipt === true && !wishes.notify.includes("SUCCESS")) return undefined;
  const isMember = target.isListMember === true || wishes.isListMember === true;
  const sender = target.sender ?? wishes.sender;
  return {
    recipient,
    givenRecipient: wishes.given === recipient ? undefined : wishes.given,
    originalRecipient: isMember ? undefined : wishes.originalRecipient,
    notify: isMember ? [] : wishes.notify,
    action,
    notBeforeAt: wishes.notBeforeAt,
    sender,
    target: target.target,
    via: via === undefined || via.length === 0 ? undefined : via,
    isListMember: isMember || undefined,
  };
}

/** The envelope of that number in its message. Each field by its name: a copy of the rest costs more than the others together. */
export function envelopeOf(draft: EnvelopeDraft, message: MessageId, index: number): Envelope {
  return {
    id: envelopeIdOf(message, index),
    message,
    recipient: draft.recipient,
    givenRecipient: draft.givenRecipient,
    originalRecipient: draft.originalRecipient,
    notify: draft.notify,
    action: draft.action,
    notBeforeAt: draft.notBeforeAt,
    sender: draft.sender,
    target: draft.target,
    via: draft.via,
    isListMember: draft.isListMember,
  } satisfies Record<keyof Envelope, unknown>;
}

/**
 * The envelope of two recipients that lead to one place, which gets one copy. RFC 3461 section 5.2.7 leaves this open: the
 * sender hears of it whatever was asked for either, and by the name of the one for which most was.
 */
export function mergedDraft(first: EnvelopeDraft, second: EnvelopeDraft): EnvelopeDraft {
  const [one, other] = [wanted(first.notify), wanted(second.notify)];
  const { givenRecipient, originalRecipient, via } = other.length > one.length ? second : first;
  const both = new Set([...one, ...other]);
  return {
    ...first,
    givenRecipient,
    originalRecipient,
    via,
    notify: [first.notify, second.notify].find((notify) => wanted(notify).length === both.size) ?? [...both],
    isListMember: (first.isListMember === true && second.isListMember === true) || undefined,
  };
}

/** RFC 3461 section 4.1: what NOTIFY asks for, which is something without it, too. */
function wanted(notify: readonly Notify[]): readonly Notify[] {
  return notify.length === 0 ? ["FAILURE", "DELAY"] : notify.filter((kind) => kind !== "NEVER");
}

/** Envelopes that are equal in this are one (`mergedDraft`): the same place, the same sender. */
export function draftKey({ recipient, action, sender, target }: EnvelopeDraft): string {
  // As expansion has it: `Jane` and `jane` are one mailbox, and nobody means two copies.
  const folded = foldKey(recipient);
  if (sender === undefined && target === undefined) return `${action} ${folded}`;
  return JSON.stringify([action, folded, sender, target]);
}
