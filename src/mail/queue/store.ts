import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { Envelope, EnvelopeProgress, EnvelopeState, Message, Quarantine } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";

/**
 * The contract of a queue store. One suite (`store.suite.ts`) is passed by every store, crash tests included.
 *
 * Every promise that resolves here means: durable, and survives a power cut. How a call rejects (`PosthornError`):
 *
 * | code | meaning |
 * |---|---|
 * | `SPOOL_REFUSED` | surely not done: the message id is taken, or the body file is not there; the store goes on |
 * | `SPOOL_FULL` | surely not done: no room; the store goes on |
 * | `SPOOL_FAILED` | not known to be done: the disk failed. The store is closed and every later call rejects alike; it is opened anew from disk (`self-healing-store.ts`), the sync is never simply repeated |
 * | `STORE_CLOSED` | surely not done: the store had been closed in good order |
 */
export interface Store extends AsyncDisposable {
  /**
   * Applies all operations of one batch, or none. Batches that wait together share one sync; the order in which
   * batches were handed over is kept. An update or removal of an envelope that is gone changes nothing.
   * The bytes of inline bodies must not change until the promise settles.
   */
  apply(batch: readonly Operation[]): Promise<void>;
  /**
   * Everything the scheduler must know after a start, in portions, envelopes of one message together, older messages
   * first. What is there all the time appears exactly once; what comes or goes meanwhile may appear or not.
   */
  load(): AsyncIterable<readonly LoadedEnvelope[]>;
  /** What is kept beside the mail (`note`), in the order of the keys: all whose key begins so. */
  notes(prefix: string): Promise<readonly Note[]>;
  message(id: MessageId): Promise<StoredMessage | undefined>;
  /** Envelopes by id; those gone meanwhile are left out. */
  envelopes(ids: readonly EnvelopeId[]): Promise<readonly StoredEnvelope[]>;
  /** The content; undefined where the message is gone, or its content is lost. `file` bodies are named, not read: `BodyFiles` opens them. */
  body(id: MessageId): Promise<Body | undefined>;
  /** All that pass, in order, at once: for the few envelopes of a message. Long lists are asked for in pages. */
  list(filter: QueueFilter): Promise<readonly QueueRow[]>;
  /**
   * The next of them behind `behind`, in the order of `list`. A page has a bounded number of rows and looks at a bounded
   * number of messages, so it may be empty and not the last one. Nothing is kept between two pages: a list is true row by
   * row, not as one instant, and who stops asking owes nothing. `pagesOf` asks for one after the other.
   */
  page(filter: QueueFilter, behind?: QueuePlace): Promise<QueuePage>;
  /** Counts by recipient domain and age, for `posthorn queue count`. */
  census(now: number): Promise<readonly CensusRow[]>;
  /** Attempts of one envelope, oldest first, at most the newest hundred. */
  attempts(id: EnvelopeId): Promise<readonly AttemptRecord[]>;
  /** A consistent copy of database and body files into an empty directory, while running. */
  backup(intoDirectory: string): Promise<SpoolCopy>;
  /** For metrics, `show status` and the tests: what has been done since the store was opened. */
  counters(): StoreCounters;
}

/** Small bodies travel with the commit; larger ones are in a file of their own, synced with its directory before. */
export type Body =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly name: string; readonly sizeBytes: number };

export type Operation =
  | {
      readonly do: "commit";
      readonly message: Message;
      readonly body: Body;
      readonly envelopes: readonly NewEnvelope[];
    }
  /**
   * More envelopes for a message that is there (`SPOOL_REFUSED` when it is not, or a number is taken), with numbers above all
   * that it ever had.
   */
  | { readonly do: "add"; readonly message: MessageId; readonly envelopes: readonly NewEnvelope[] }
  | {
      readonly do: "update";
      readonly envelope: EnvelopeId;
      readonly progress: EnvelopeProgress;
      readonly attempt?: AttemptRecord | undefined;
    }
  /** Removes the envelope; with the message's last envelope go message and body. */
  | { readonly do: "remove"; readonly envelope: EnvelopeId }
  /** Keeps a text under a key, in place of what was there; without a text what was there goes. */
  | { readonly do: "note"; readonly key: string; readonly text?: string | undefined };

/** What is done about mail. */
export type MailOperation = Exclude<Operation, { readonly do: "note" }>;

export interface Note {
  readonly key: string;
  readonly text: string;
}

export interface NewEnvelope {
  readonly envelope: Envelope;
  readonly progress: EnvelopeProgress;
}

export interface StoredMessage extends Message {
  readonly bodyKind: Body["kind"];
  /** The highest number that an envelope of it ever had; absent: 1. */
  readonly numbered?: number | undefined;
  readonly isDamaged?: Damaged;
}

export interface StoredEnvelope {
  readonly envelope: Envelope;
  readonly progress: EnvelopeProgress;
  readonly isDamaged?: Damaged;
}

/**
 * The disk gives back something else than was written, in what is no column of its own: that is left out, or has a value that
 * says nothing. Such mail is shown, returned and removed as any other, and never sent.
 */
export type Damaged = true | undefined;

/** What the scheduler keeps in memory of an envelope: a few hundred bytes, never the content. */
export interface LoadedEnvelope {
  readonly id: EnvelopeId;
  readonly message: MessageId;
  readonly recipient: string;
  /** The envelope's own, where it has one, else the message's. */
  readonly sender: string;
  /** The message's, where that is another one. */
  readonly messageSender?: string | undefined;
  readonly action: string;
  readonly sizeBytes: number;
  readonly receivedAt: number;
  readonly progress: Omit<EnvelopeProgress, "lastFailure">;
  /** Present when it differs from `recipient`; for the log's `orig_to`. */
  readonly givenRecipient?: string | undefined;
  readonly deliverByAt?: number | undefined;
  readonly deliverByMode?: "return" | "notify" | undefined;
  readonly tenant?: string | undefined;
  /** RFC 6710. */
  readonly priority?: number | undefined;
  /** FUTURERELEASE: not tried before, whoever asks. */
  readonly notBeforeAt?: number | undefined;
  /** NOTIFY without DELAY and the null sender get no delay warning. */
  readonly wantsDelayNotice: boolean;
  /** It waits because its next hosts could not be reached or looked up: `wasAway`. */
  readonly wasAway?: boolean | undefined;
  /** Whose failure that was, `name[address]:port`, if it was a host's. */
  readonly awayHost?: string | undefined;
  /** To whom the newest of its attempts came that came to anybody, `name[address]:port`. */
  readonly lastHost?: string | undefined;
  /** It waits because of the settings that were in force: `wasMisconfigured`. */
  readonly wasMisconfigured?: boolean | undefined;
  readonly isDamaged?: Damaged;
}

export interface AttemptRecord {
  readonly startedAt: number;
  readonly tookMs: number;
  readonly outcome: "delivered" | "deferred" | "bounced";
  /** `name[address]:port`, `maildir:/path`, or `none` when nothing was reached. */
  readonly relay: string;
  readonly failure?: Failure | undefined;
  readonly replyText?: string | undefined;
}

/** As people list them: an envelope that is queued and was tried at least once is `deferred`, and not `queued`. */
export type ListedState = EnvelopeState | "deferred";

/** All that is given must hold. Addresses and domains are compared without regard to ASCII case. */
export interface QueueFilter {
  readonly state?: ListedState | undefined;
  /** The envelope's, or the message's where the envelope has one of its own. `""` finds the null sender. */
  readonly sender?: string | undefined;
  readonly recipient?: string | undefined;
  /** The recipient's domain. */
  readonly domain?: string | undefined;
  readonly message?: MessageId | undefined;
  readonly envelope?: EnvelopeId | undefined;
  /** Who handed it in, and where: an account is somebody else at another listener. Both exactly. */
  readonly origin?: { readonly listener: string; readonly account: string } | undefined;
  readonly receivedBeforeAt?: number | undefined;
  readonly receivedAfterAt?: number | undefined;
  readonly limit?: number | undefined;
}

/** One envelope as lists show it. */
export interface QueueRow {
  readonly envelope: EnvelopeId;
  readonly message: MessageId;
  readonly state: EnvelopeState;
  readonly sender: string;
  readonly recipient: string;
  readonly action: string;
  readonly sizeBytes: number;
  readonly receivedAt: number;
  readonly dueAt: number;
  readonly expiresAt: number;
  readonly attempts: number;
  readonly lastFailure?: Failure | undefined;
  readonly heldBecause?: string | undefined;
  readonly heldUntilAt?: number | undefined;
  readonly quarantine?: Quarantine | undefined;
}

/** Where a page of a list ended. Whoever asks hands it back as it is. */
export interface QueuePlace {
  readonly message: number;
  readonly n: number;
}

export interface QueuePage {
  readonly count: number;
  /** The envelopes of the rows. */
  readonly envelopes: readonly EnvelopeId[];
  /** Each row (`QueueRow`) as JSON: text crosses threads and processes at a fraction of what objects cost. */
  readonly rows: readonly string[];
  /** Undefined when there is nothing behind this page. */
  readonly next?: QueuePlace | undefined;
}

export interface CensusRow {
  readonly domain: string;
  readonly total: number;
  /** Envelopes no older than 5, 10, 20, 40, 80, 160, 320, 640, 1280 minutes, and older: ten counts, as qshape has them. */
  readonly byAge: readonly number[];
}

/** What a backup or a restore has copied. */
export interface SpoolCopy {
  readonly messages: number;
  readonly bytes: number;
  /** Messages whose content was in a file that the queue itself has lost, or some of it: how many, and the first twenty. Their envelopes are there. */
  readonly lost: { readonly count: number; readonly messages: readonly string[] };
}

export interface StoreCounters {
  /** Batches applied since the store was opened. */
  readonly commits: number;
  /** Transactions made durable since then: fewer than `commits` when batches shared one. */
  readonly syncs: number;
  /** Messages and envelopes that the store holds now. */
  readonly messages: number;
  readonly envelopes: number;
}
