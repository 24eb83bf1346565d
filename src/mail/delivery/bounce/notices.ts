import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Envelope, Message } from "../../envelope/envelope.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { CommitRequest } from "../../queue/queue.ts";
import type { Body } from "../../queue/store.ts";
import type { Taker } from "../delivery.ts";

/**
 * Where the scheduler gets delivery status notifications (RFC 3464). The scheduler decides that one is due and writes
 * it in the same store batch as the change it tells of, so that it is sent exactly once; what it says, and whether the
 * sender wants it (NOTIFY, RFC 3461), is decided here.
 *
 * Never called for a null sender, except with `to` set.
 */
export interface Notices {
  /**
   * Rejects when a table that says where it goes cannot be asked just now; the scheduler comes again.
   */
  make(request: NoticeRequest): Promise<MadeNotice>;
}

export type MadeNotice =
  /** A new message. */
  | {
      readonly kind: "notice";
      readonly request: CommitRequest;
      /** Those that it tells of. */
      readonly about: readonly EnvelopeId[];
    }
  /** Nobody wants to hear of it. */
  | { readonly kind: "unwanted" }
  /** Somebody wants to hear of these, and cannot. */
  | { readonly kind: "unroutable"; readonly about: readonly EnvelopeId[]; readonly because: string };

export interface NoticeRequest {
  readonly kind: "bounce" | "delay" | "success";
  readonly message: Message;
  /** Undefined where the queue has lost it. */
  readonly body: Body | undefined;
  /** The envelopes it speaks about; all of this message. */
  readonly about: readonly NoticeAbout[];
  readonly at: number;
  /** Who gets it instead of the sender: the postmaster, when what failed for good cannot be returned and settings say so. */
  readonly to?: string | undefined;
}

export interface NoticeAbout {
  readonly envelope: Envelope;
  /** For `bounce` and `delay`. After the last attempt before expiry: cause `expired`, and what went wrong in `before`. */
  readonly failure?: Failure | undefined;
  readonly before?: Failure | undefined;
  /** For `success`: `delivered` into a mailbox, `relayed` to a host that does not speak DSN. */
  readonly action?: "delivered" | "relayed" | undefined;
  readonly taker?: Taker | undefined;
  readonly status?: string | undefined;
  /** `name[address]:port` of the host that spoke last, `maildir:…`, or `none`. */
  readonly relay: string;
  /** What it said. */
  readonly text?: string | undefined;
  readonly lastAttemptAt?: number | undefined;
  /** For `delay`: how long we go on trying. */
  readonly retryUntilAt?: number | undefined;
}
