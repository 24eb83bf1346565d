import { envelopeIdOf, messageIdOf } from "../../foundation/ids.ts";
import type { Envelope, EnvelopeProgress, EnvelopeState, Notify } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import type { AttemptRecord, LoadedEnvelope, QueueRow, StoredEnvelope, StoredMessage } from "./store.ts";

/**
 * Rows of the queue database as the contract's objects. The casts of parsed JSON hold because only `packing.ts` writes
 * it, in a format that the database's version names. What is no JSON any more costs its own message alone (`Damaged`).
 */
export interface MessageRow {
  readonly id: number;
  readonly sender: string;
  readonly received_at: number;
  readonly size_bytes: number;
  readonly deliver_by_at: number | null;
  readonly body_file: string | null;
  readonly body_bytes: number;
  readonly facts: string;
}

export interface EnvelopeRow {
  readonly message: number;
  readonly n: number;
  readonly recipient: string;
  readonly action: string;
  readonly facts: string | null;
  readonly state: string;
  readonly due_at: number;
  readonly expires_at: number;
  readonly attempts: number;
  readonly progress: string | null;
  readonly last_failure: string | null;
}

// node:sqlite types a row as a record of unknown columns; these say which ones the reader's statements select.
/** In the order of the columns: lists are long, and an array is made in half the time of an object. */
export type ListedRow = readonly [
  message: number,
  n: number,
  recipient: string,
  action: string,
  state: string,
  dueAt: number,
  expiresAt: number,
  attempts: number,
  progress: string | null,
  lastFailure: string | null,
  sender: string,
  receivedAt: number,
  sizeBytes: number,
];
/** In the order of the columns, likewise. */
export type LoadedRow = readonly [
  message: number,
  n: number,
  recipient: string,
  action: string,
  facts: string | null,
  state: string,
  dueAt: number,
  expiresAt: number,
  attempts: number,
  progress: string | null,
  sender: string,
  receivedAt: number,
  sizeBytes: number,
  deliverByAt: number | null,
  deliverByMode: string | null,
  tenant: string | null,
  priority: number | null,
  failedBy: string | null,
  failedAt: string | null,
  lastHost: string | null,
];

export interface AttemptRow {
  readonly started_at: number;
  readonly took_ms: number;
  readonly outcome: string;
  readonly relay: string;
  readonly failure: string | null;
  readonly reply: string | null;
}

type MessageFacts = Omit<StoredMessage, "id" | "sender" | "receivedAt" | "sizeBytes" | "bodyKind">;
type EnvelopeFacts = Pick<
  Envelope,
  "givenRecipient" | "originalRecipient" | "notBeforeAt" | "sender" | "target" | "via" | "isListMember"
> & {
  notify?: readonly Notify[];
};
type ProgressFacts = Pick<
  EnvelopeProgress,
  "beganAt" | "warnedAt" | "heldUntilAt" | "heldBecause" | "quarantine" | "isScheduled"
>;

export function messageOf(row: MessageRow): StoredMessage {
  return {
    id: messageIdOf(row.id),
    sender: row.sender,
    receivedAt: row.received_at,
    sizeBytes: row.size_bytes,
    ...((kept(row.facts) as MessageFacts | undefined) ?? UNKNOWN),
    bodyKind: row.body_file === null ? "inline" : "file",
  };
}

/** Notices need a message to tell of, and none of it is written as if it were known. */
const UNKNOWN: MessageFacts = {
  content: "8bit",
  isInternational: false,
  origin: { listener: "?", protocol: "?", session: "?" },
  isDamaged: true,
};

/** Of a held one; what is tried goes on without. */
const DAMAGED = "why is not known: its record in the queue's database is damaged";

/** An object that was written as JSON; undefined where the disk gives back something else. */
function kept(json: string): object | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function envelopeOf(row: EnvelopeRow): StoredEnvelope {
  const message = messageIdOf(row.message);
  const known = envelopeFactsOf(row);
  const { notify = [], ...facts } = known ?? {};
  const lastFailure = row.last_failure === null ? undefined : (kept(row.last_failure) as Failure | undefined);
  return {
    ...(known === undefined ? { isDamaged: true } : {}),
    envelope: {
      id: envelopeIdOf(message, row.n),
      message,
      recipient: row.recipient,
      notify,
      action: row.action,
      ...facts,
    },
    progress: {
      ...progressOf(row),
      ...(lastFailure === undefined ? {} : { lastFailure }),
    },
  };
}

export function loadedOf(row: LoadedRow): LoadedEnvelope {
  const [number, n, recipient, action, facts, state, dueAt, expiresAt, attempts, progress, ...ofMessage] = row;
  const [sentBy, receivedAt, sizeBytes, deliverByAt, deliverByMode, tenant, priority, failedBy, failedAt, lastHost] =
    ofMessage;
  const message = messageIdOf(number);
  const factsOf = envelopeFactsOf({ facts });
  const { notify = [], givenRecipient, notBeforeAt, sender = sentBy } = factsOf ?? {};
  const progressFacts = progress === null ? {} : progressFactsOf({ progress, state });
  const known = {
    state: state as EnvelopeState,
    dueAt,
    expiresAt,
    attempts,
    ...progressFacts,
  };
  return {
    ...(factsOf === undefined || progressFacts.heldBecause === DAMAGED ? { isDamaged: true } : {}),
    id: envelopeIdOf(message, n),
    message,
    recipient,
    sender,
    ...(sender === sentBy ? {} : { messageSender: sentBy }),
    action,
    sizeBytes,
    receivedAt,
    progress: known,
    ...(givenRecipient === undefined ? {} : { givenRecipient }),
    ...(deliverByAt === null ? {} : { deliverByAt }),
    ...(deliverByMode === null ? {} : { deliverByMode: deliverByMode as "return" | "notify" }),
    ...(tenant === null ? {} : { tenant }),
    ...(priority === null ? {} : { priority }),
    ...(notBeforeAt === undefined ? {} : { notBeforeAt }),
    wantsDelayNotice: wantsDelayNotice(sender, notify),
    ...(failedBy !== null && wasAway(known, failedBy)
      ? { wasAway: true, ...(failedAt === null ? {} : { awayHost: failedAt }) }
      : {}),
    ...(lastHost === null ? {} : { lastHost }),
    ...(failedBy !== null && wasMisconfigured(known, failedBy) ? { wasMisconfigured: true } : {}),
  };
}

/** The relay of an attempt that came to nobody. */
export const NO_RELAY = "none";

const AWAY: ReadonlySet<string | undefined> = new Set<Failure["cause"]["kind"]>(["connect", "dns", "no-address"]);

/** By the kind of its last failure: whoever the next hosts are, they had not heard of this mail, and may be back. */
export function wasAway(
  { state, attempts, isScheduled }: Pick<EnvelopeProgress, "state" | "attempts" | "isScheduled">,
  failedBy: string | undefined,
): boolean {
  return state === "queued" && attempts > 0 && isScheduled !== true && AWAY.has(failedBy);
}

/** Settings were to blame, which may be mended now. It need not have been tried for that. */
export function wasMisconfigured(
  { state, isScheduled }: Pick<EnvelopeProgress, "state" | "isScheduled">,
  failedBy: string | undefined,
): boolean {
  return state === "queued" && isScheduled !== true && failedBy === "settings";
}

/** RFC 3461 section 4.1: without NOTIFY a delay may be told; with it only when DELAY is named. Never to the null sender. */
export function wantsDelayNotice(sender: string, notify: readonly Notify[]): boolean {
  return sender !== "" && (notify.length === 0 || notify.includes("DELAY"));
}

/**
 * A `QueueRow` as JSON. Put together by hand, which takes a third of what `JSON.stringify` takes for an object: long lists
 * wait for the thread that does this. Why the last attempt failed is JSON in the row already, and goes in as it is.
 */
export function listedJsonOf(row: ListedRow): string {
  const [number, n, recipient, action, state, dueAt, expiresAt, attempts, progress, lastFailure, ...ofMessage] = row;
  const [sender, receivedAt, sizeBytes] = ofMessage;
  const message = messageIdOf(number);
  return (
    `{"envelope":"${envelopeIdOf(message, n)}","message":"${message}","state":${JSON.stringify(state)}` +
    `,"sender":${JSON.stringify(sender)},"recipient":${JSON.stringify(recipient)},"action":${JSON.stringify(action)}` +
    `,"sizeBytes":${sizeBytes},"receivedAt":${receivedAt},"dueAt":${dueAt},"expiresAt":${expiresAt},"attempts":${attempts}` +
    (progress === null ? "" : listedProgressOf(progress, state)) +
    `${lastFailure === null || kept(lastFailure) === undefined ? "" : `,"lastFailure":${lastFailure}`}}`
  );
}

/** What a list shows of it, behind the other members. */
function listedProgressOf(progress: string, state: string): string {
  if (onlyBeganAt(progress) !== undefined) return "";
  const { heldBecause, heldUntilAt, quarantine } = progressFactsOf({ progress, state });
  const shown: Pick<QueueRow, "heldBecause" | "heldUntilAt" | "quarantine"> = { heldBecause, heldUntilAt, quarantine };
  const members = JSON.stringify(shown).slice(1, -1);
  return members === "" ? "" : `,${members}`;
}

export function attemptOf(row: AttemptRow): AttemptRecord {
  const failure = row.failure === null ? undefined : (kept(row.failure) as Failure | undefined);
  return {
    startedAt: row.started_at,
    tookMs: row.took_ms,
    outcome: row.outcome as AttemptRecord["outcome"],
    relay: row.relay,
    ...(failure === undefined ? {} : { failure }),
    ...(row.reply === null ? {} : { replyText: row.reply }),
  };
}

function progressOf(row: Omit<EnvelopeRow, "facts" | "last_failure">): Omit<EnvelopeProgress, "lastFailure"> {
  return {
    state: row.state as EnvelopeState,
    dueAt: row.due_at,
    expiresAt: row.expires_at,
    attempts: row.attempts,
    ...progressFactsOf(row),
  };
}

function progressFactsOf({ progress, state }: Pick<EnvelopeRow, "progress" | "state">): ProgressFacts {
  if (progress === null) return {};
  const beganAt = onlyBeganAt(progress);
  if (beganAt !== undefined) return { beganAt };
  // Mail that waits for somebody goes on waiting, whatever of it is lost.
  return kept(progress) ?? (state === "held" ? { heldBecause: DAMAGED } : {});
}

const BEGAN_AT = '{"beganAt":';

/** Where that is all there is: of most mail, and a queue has much. */
function onlyBeganAt(progress: string): number | undefined {
  if (!progress.startsWith(BEGAN_AT) || progress.includes(",")) return undefined;
  const beganAt = Number(progress.slice(BEGAN_AT.length, -1));
  return Number.isNaN(beganAt) ? undefined : beganAt;
}

function envelopeFactsOf(row: Pick<EnvelopeRow, "facts">): EnvelopeFacts | undefined {
  return row.facts === null ? {} : kept(row.facts);
}
