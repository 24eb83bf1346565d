import type { Emit } from "../../../foundation/events.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import { senderOf } from "../../envelope/envelope.ts";
import { firstProgress, type CommitRequest } from "../../queue/queue.ts";
import { wantsDelayNotice } from "../../queue/rows.ts";
import type { LoadedEnvelope, NewEnvelope, MailOperation, Store, StoredEnvelope } from "../../queue/store.ts";
import type { Action, NoticePlan } from "../action.ts";
import type { Contents } from "./contents.ts";
import { noticeFailed } from "../events.ts";
import type { MadeNotice, NoticeAbout, Notices } from "../notices.ts";

type WriteAction = Extract<Action, { do: "write" }>;

/** What a write becomes: one batch for the store, and what is told when it is durable. */
export interface WriteBatch {
  readonly kind: "batch";
  readonly operations: readonly MailOperation[];
  readonly made: readonly {
    readonly plan: NoticePlan;
    readonly request: CommitRequest;
    readonly envelopes: readonly NewEnvelope[];
  }[];
  /** Of a bounce, those of whom nobody wants to hear. */
  readonly untold: readonly EnvelopeId[];
}

/** Nothing of it may be written: a bounce cannot be made now, or has no way to whom it is for. */
export type Unwritable =
  | { readonly kind: "not-now"; readonly problem: string }
  | { readonly kind: "unreturnable"; readonly envelopes: readonly EnvelopeId[]; readonly because: string };

export interface BatchParts {
  readonly store: Pick<Store, "envelopes">;
  readonly contents: Contents;
  readonly notices: Notices;
  readonly emit: Emit;
  readonly now: number;
  readonly expireAfterMs: number;
  /** Whether an envelope asked for a success notice; asked for those whose delivery ended just now. */
  readonly wantsSuccess: (id: EnvelopeId) => boolean;
}

/** Completes a write: the notices are made, and updates that bring no failure get the last one that the store has. */
export async function writeBatch(action: WriteAction, parts: BatchParts): Promise<WriteBatch | Unwritable> {
  const made = [];
  const untold: EnvelopeId[] = [];
  for (const plan of action.notices) {
    const wanted =
      plan.kind === "success" ? { ...plan, about: plan.about.filter((a) => parts.wantsSuccess(a.envelope)) } : plan;
    if (wanted.about.length === 0) continue;
    try {
      const notice = await makeNotice(wanted, parts);
      if (notice.kind === "unroutable" && plan.kind === "bounce")
        return {
          kind: "unreturnable",
          envelopes: notice.about,
          because: notice.because,
        };
      if (plan.kind === "bounce") {
        const told = new Set(notice.kind === "notice" ? notice.about : []);
        for (const { envelope } of plan.about) if (!told.has(envelope)) untold.push(envelope);
      }
      if (notice.kind !== "notice") continue;
      const { request } = notice;
      const envelopes = request.envelopes.map((envelope) => ({
        envelope,
        progress: firstProgress(envelope, parts.now, parts.expireAfterMs),
      }));
      made.push({ plan: wanted, request, envelopes });
    } catch (thrown) {
      parts.emit(noticeFailed, { message: plan.message, kind: plan.kind, problem: messageOf(thrown) });
      if (plan.kind !== "success") return { kind: "not-now", problem: messageOf(thrown) };
    }
  }
  const commits = made.map(({ request, envelopes }): MailOperation => {
    return { do: "commit", message: request.message, body: request.body, envelopes };
  });
  return {
    kind: "batch",
    operations: [...(await withLastFailures(action.operations, parts)), ...commits],
    made,
    untold,
  };
}

async function makeNotice(plan: NoticePlan, parts: BatchParts): Promise<MadeNotice> {
  const ids = plan.about.map((about) => about.envelope);
  const content = await parts.contents.read(plan.message, ids);
  // Removed meanwhile: there is nothing left to tell of.
  if (content === undefined) return { kind: "unwanted" };
  const stored = plan.kind === "delay" ? byId(await parts.store.envelopes(ids)) : undefined;
  const envelopes = new Map(content.envelopes.map((envelope) => [envelope.id, envelope]));
  const about = plan.about.flatMap((one): readonly NoticeAbout[] => {
    const envelope = envelopes.get(one.envelope);
    if (envelope === undefined) return [];
    return [{ ...one, envelope, failure: one.failure ?? stored?.get(envelope.id)?.progress.lastFailure }];
  });
  if (about.length === 0) return { kind: "unwanted" };
  return parts.notices.make({
    kind: plan.kind,
    message: content.message,
    body: content.body,
    about,
    at: parts.now,
    ...(plan.to === undefined ? {} : { to: plan.to }),
  });
}

async function withLastFailures(
  operations: readonly MailOperation[],
  parts: BatchParts,
): Promise<readonly MailOperation[]> {
  const bare = operations.flatMap((one) => (isBare(one) ? [one.envelope] : []));
  if (bare.length === 0) return operations;
  const stored = byId(await parts.store.envelopes(bare));
  return operations.map((one) => {
    if (!isBare(one)) return one;
    const lastFailure = stored.get(one.envelope)?.progress.lastFailure;
    return lastFailure === undefined ? one : { ...one, progress: { ...one.progress, lastFailure } };
  });
}

function isBare(one: MailOperation): one is Extract<MailOperation, { do: "update" }> {
  return one.do === "update" && one.attempt === undefined && one.progress.lastFailure === undefined;
}

function byId(stored: readonly StoredEnvelope[]): ReadonlyMap<EnvelopeId, StoredEnvelope> {
  return new Map(stored.map((each) => [each.envelope.id, each]));
}

/** A fresh commit as the scheduler takes it up. */
export function loadedFrom({ message }: CommitRequest, { envelope, progress }: NewEnvelope): LoadedEnvelope {
  const sender = senderOf(message, envelope);
  return {
    id: envelope.id,
    message: envelope.message,
    recipient: envelope.recipient,
    sender,
    ...(sender === message.sender ? {} : { messageSender: message.sender }),
    action: envelope.action,
    sizeBytes: message.sizeBytes,
    receivedAt: message.receivedAt,
    progress,
    givenRecipient: envelope.givenRecipient,
    deliverByAt: message.deliverBy?.at,
    deliverByMode: message.deliverBy?.mode,
    tenant: message.tenant,
    priority: message.priority,
    notBeforeAt: envelope.notBeforeAt,
    wantsDelayNotice: wantsDelayNotice(sender, envelope.notify),
  };
}
