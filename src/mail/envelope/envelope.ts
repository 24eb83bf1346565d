import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { ForwardedClient } from "../../protocol/smtp/xforward.ts";
import type { Failure } from "./failure.ts";

/**
 * The envelope stage: one envelope = one sender, one recipient, one fate. Before it: session; after it: queue.
 *
 * An envelope carries facts (sender, recipient, which *action name* the rules chose, DSN and TLS requirements), never a
 * frozen copy of settings: fixing the settings frees stuck mail. Envelopes of a message share its stored content.
 */

/** The content as received and what was true of its reception; stored once. */
export interface Message {
  readonly id: MessageId;
  /** The reverse path without angle brackets, as the client wrote it; `""` is the null sender. */
  readonly sender: string;
  readonly receivedAt: number;
  /** Bytes of the stored content, our own trace fields included. */
  readonly sizeBytes: number;
  /** What the content needs of the next host: RFC 6152 8BITMIME, RFC 3030 BINARYMIME. */
  readonly content: "7bit" | "8bit" | "binary";
  /** SMTPUTF8 was asked for (RFC 6531). */
  readonly isInternational: boolean;
  /** The Message-ID field's value, when there is one; for the log. */
  readonly messageIdField?: string | undefined;
  readonly origin: Origin;
  /** RFC 6710 MT-PRIORITY, -9 to 9; absent when none was asked for. */
  readonly priority?: number | undefined;
  /** For whom we took it, where the listener says so. */
  readonly tenant?: string | undefined;
  /** RFC 3461: what a DSN should return, and the sender's own identifier (decoded xtext). */
  readonly dsnReturn?: "FULL" | "HDRS" | undefined;
  readonly dsnEnvelopeId?: string | undefined;
  /** RFC 2852 DELIVERBY: the moment, and whether to return or to notify then. */
  readonly deliverBy?: { readonly at: number; readonly mode: "return" | "notify"; readonly trace: boolean } | undefined;
}

/** Where a message came from. Facts for the log, rules and DSNs. */
export interface Origin {
  /** The listener's name, or `bounce`, `local` (the `send` command) for what we made ourselves. */
  readonly listener: string;
  /** RFC 3848 `with` value: SMTP, ESMTP, ESMTPSA, LMTP, ... */
  readonly protocol: string;
  readonly session: string;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** The client's verified name, or undefined. */
  readonly clientName?: string | undefined;
  readonly helo?: string | undefined;
  readonly account?: string | undefined;
  /** For whom the client spoke, as it said with XFORWARD: who gave us the mail before it went through a filter. */
  readonly forwarded?: ForwardedClient | undefined;
}

export type Notify = "NEVER" | "SUCCESS" | "FAILURE" | "DELAY";

export interface Envelope {
  readonly id: EnvelopeId;
  readonly message: MessageId;
  /** Where it goes now, as `local@domain` in wire form (quoted where needed). */
  readonly recipient: string;
  /** What the client gave in RCPT when it differs from `recipient` (aliases). */
  readonly givenRecipient?: string | undefined;
  /** ORCPT as `type;address`, decoded (RFC 3461 section 4.2). */
  readonly originalRecipient?: string | undefined;
  /** NOTIFY; empty means the default: FAILURE and DELAY. */
  readonly notify: readonly Notify[];
  /** The name of the action that the rules chose. */
  readonly action: string;
  /** FUTURERELEASE (RFC 4865): not tried before. */
  readonly notBeforeAt?: number | undefined;
  /** MAIL FROM of this envelope when it is not the message's: a list's owner, SRS, VERP. `""` is the null sender. */
  readonly sender?: string | undefined;
  /** What expansion found instead of a mailbox by the recipient's name. */
  readonly target?: EnvelopeTarget | undefined;
  /** Addresses this one was expanded from, the given one first; at most `MOST_VIA`. */
  readonly via?: readonly string[] | undefined;
  /** It goes to a member of a list with an owner: what the sender wished of notices was for the list (RFC 3461 section 5.2.7.3). */
  readonly isListMember?: true | undefined;
}

/** ENVID and RET, where the sender's wishes are for these envelopes. They are the message's, and go with a transaction or a notice. */
export function noticeWishes(
  { dsnReturn, dsnEnvelopeId }: Pick<Message, "dsnReturn" | "dsnEnvelopeId">,
  envelopes: readonly Pick<Envelope, "isListMember">[],
): Pick<Message, "dsnReturn" | "dsnEnvelopeId"> {
  return envelopes.every(({ isListMember }) => isListMember === true) ? {} : { dsnReturn, dsnEnvelopeId };
}

/**
 * Where an envelope goes that an alias or a `.forward` sent elsewhere than to the mailbox of its recipient. `user` of a
 * command or file: on whose behalf; `""` is the default user of the settings.
 */
export type EnvelopeTarget =
  /** `isFinal`: into the mailbox, whatever the user's `.forward` says. */
  | { readonly kind: "user"; readonly user: string; readonly isFinal: boolean }
  | { readonly kind: "command"; readonly command: string; readonly user: string }
  | { readonly kind: "file"; readonly path: string; readonly user: string }
  /** Nowhere, and the sender is to hear why: one member of a list that has others. */
  | { readonly kind: "error"; readonly failure: Failure }
  /** Nothing is left to be done but to tell who asked for it: a list took the mail (RFC 3461 section 5.2.7.3), or it is thrown away. */
  | { readonly kind: "none"; readonly text: string; readonly isThrownAway?: boolean | undefined };

/** More steps than this are a loop. */
export const MOST_VIA = 32;

/** Who an envelope is from, for MAIL FROM, the log and notices. */
export function senderOf(message: Pick<Message, "sender">, envelope: Pick<Envelope, "sender"> | undefined): string {
  return envelope?.sender ?? message.sender;
}

/**
 * Where an envelope stands, durably. `queued` will be tried at `dueAt`; `held` waits for a person (or `heldUntilAt`);
 * `dead` is what failed for good and cannot be returned, as it has the null sender or there is no way back to its sender:
 * kept until `expiresAt`, so that it is never dropped in silence.
 */
export type EnvelopeState = "queued" | "held" | "dead";

/** Held since it came, because a filter said so, and until somebody has looked at it. */
export interface Quarantine {
  /** The filter's name. */
  readonly filter: string;
  readonly because?: string | undefined;
}

/** What changes about an envelope during its life in the queue. */
export interface EnvelopeProgress {
  readonly state: EnvelopeState;
  readonly dueAt: number;
  /** By the settings when this was written. */
  readonly expiresAt: number;
  /**
   * Since when the time runs for which it is tried, kept in quarantine or kept as dead: other settings move its end. Absent
   * where an earlier version wrote it: its end stays then.
   */
  readonly beganAt?: number | undefined;
  /** Attempts that ended; decides the next wait. */
  readonly attempts: number;
  /** When the delay warning was sent. */
  readonly warnedAt?: number | undefined;
  readonly heldUntilAt?: number | undefined;
  /** Why and by whom it is held; of a dead one with a sender, why it could not be returned. */
  readonly heldBecause?: string | undefined;
  /** Only of what is held. What releases mail that is held leaves this alone, unless it is meant. */
  readonly quarantine?: Quarantine | undefined;
  /** An operator chose the instant at which it is due: nothing brings it back earlier. */
  readonly isScheduled?: boolean | undefined;
  readonly lastFailure?: Failure | undefined;
}
