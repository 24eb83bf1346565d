import type { MessageId } from "../../foundation/ids.ts";
import type { Envelope, EnvelopeProgress, Message, Quarantine } from "../envelope/envelope.ts";
import type { Body } from "./store.ts";

/**
 * The queue: the durable home of every message we answered 250 for. Before it: session (commit); after it: scheduler.
 *
 * | step | on disk | told to the client | a crash here leaves |
 * |---|---|---|---|
 * | receiving, small body | nothing | nothing | nothing |
 * | receiving, large body | an unnamed-in-the-database body file | nothing | an orphan file, swept at the next start |
 * | filters read it; one changed it | a second content of the same message beside it, or instead of it; contents that filters put aside | nothing | orphans, swept |
 * | body file synced, directory synced | the same, whole | nothing | the same orphan |
 * | commit written, not synced | perhaps message and envelopes | nothing | all of the message or nothing of it; if all, it is delivered although the client comes again: a duplicate that nobody can avoid |
 * | commit synced | message, body, envelopes | 250 | the message, whole |
 * | being delivered | the same | | the envelope, tried again: the one window for duplicates |
 * | outcome synced | envelope updated or gone; a bounce written in the same transaction | | that outcome |
 * | last envelope gone | message row gone, then its body file unlinked | | at most an orphan file, swept |
 *
 * Invariants: a body file is durable before a row names it, and is unlinked only after no row names it. Nothing is
 * acknowledged before `commit` resolves. Outcomes are durable before the next attempt of that envelope.
 *
 * RFC 5321 section 6.1 (responsibility), 4.5.4 (retries).
 */

/** What reception asks of the queue. In a split server this crosses a process boundary. */
export interface QueuePort {
  /**
   * Resolves when message and envelopes are durable. Rejects with `SPOOL_FULL` or `SPOOL_REFUSED` (surely not done), or
   * with `SPOOL_FAILED`, `STORE_CLOSED` or `ROLE_UNAVAILABLE` (not known to be done).
   */
  commit(request: CommitRequest): Promise<void>;
}

/** Whom a host that was away asks for the mail of its domain (ETRN). */
export interface DomainWaker {
  /** Must not reject: what could not be found out is a failure. */
  wake(request: WakeRequest): Promise<Woken>;
}

export interface WakeRequest {
  /** A-labels, lower case. */
  readonly domain: string;
  /** All domains below it as well. */
  readonly withSubdomains: boolean;
}

export type Woken =
  /**
   * `envelopes`: so many are due now. Without it they were woken a moment ago, by somebody else perhaps. `isStarting`: not all
   * that is queued is known yet; it is due when it is.
   */
  | { readonly kind: "woken"; readonly envelopes?: number | undefined; readonly isStarting?: boolean | undefined }
  | { readonly kind: "not-allowed" }
  | { readonly kind: "failed"; readonly text: string };

export interface CommitRequest {
  readonly message: Message;
  readonly body: Body;
  readonly envelopes: readonly Envelope[];
  /** All of it goes into quarantine instead of on its way. */
  readonly quarantine?: Quarantine | undefined;
}

/** Collects one message's content during reception, in memory while small, in a synced file of its own beyond that. */
export interface BodyWriter {
  /** Takes the bytes (copying what it keeps). A promise is back-pressure: wait for it before the next write. */
  write(bytes: Uint8Array): void | Promise<void>;
  /** Nothing more is written: what there is can be read, as often as wanted, until `finish` or `abort`. Not durable yet. */
  settle(): Promise<WrittenContent>;
  /** Makes the content durable where it lives outside the database, and names it. */
  finish(): Promise<Body>;
  /**
   * Forgets the content; safe at any time. After `finish` the commit may have been tried: hand over what it rejected
   * with, and the file goes at once if the commit surely was not done. Else it stays, for a row may name it after all,
   * and the sweep decides.
   */
  abort(because?: unknown): Promise<void>;
  readonly sizeBytes: number;
}

/** Content that is written and not yet kept. */
export interface WrittenContent {
  readonly sizeBytes: number;
  /** All of it, where it is in memory anyway: nobody has to wait for it. Not to be written into. */
  readonly whole?: Buffer | undefined;
  read(): AsyncIterable<Buffer>;
}

/** Where reception gets its body writers, and asks whether there is room. */
export interface Intake {
  /** `version` counts, from 1, the contents that are written for the same message; one of them is committed at most. */
  begin(id: MessageId, version?: number): BodyWriter;
  /** Undefined when there is room; else what is short, for the log (`452 4.3.1` to the client). */
  shortage(): string | undefined;
  /** Set while an operator has paused reception: why. The client gets 450 4.3.2. */
  paused?(): string | undefined;
}

/** How the queue turns a new envelope into its first progress: due now (or at FUTURERELEASE), expiring by the settings. */
export function firstProgress(
  envelope: Envelope,
  receivedAt: number,
  expireAfterMs: number,
  quarantine?: Quarantine & { readonly forMs: number },
): EnvelopeProgress {
  const dueAt = Math.max(receivedAt, envelope.notBeforeAt ?? 0);
  const progress = { dueAt, expiresAt: dueAt + expireAfterMs, attempts: 0, beganAt: dueAt };
  if (quarantine === undefined) return { state: "queued", ...progress };
  const { forMs, ...by } = quarantine;
  const { filter, because } = by;
  const heldBecause = `in quarantine by the filter ${filter}${because === undefined ? "" : `: ${because}`}`;
  return {
    state: "held",
    ...progress,
    beganAt: receivedAt,
    heldBecause,
    heldUntilAt: receivedAt + forMs,
    quarantine: by,
  };
}
