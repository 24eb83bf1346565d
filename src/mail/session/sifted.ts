import { isContentFilterAction } from "../envelope/content-filter.ts";
import { queued, replies } from "./replies.ts";
import type { SiftedFate } from "../filter/outcome.ts";
import { finalReplies, keep, notKept, perRecipient } from "./content.ts";
import { mailDiscarded, mailFilteredOn, recipientNotAdded } from "./events.ts";
import { byFilter, tellVerdict } from "./ask-filters.ts";
import { notesTold } from "./mail.ts";
import {
  READY,
  tell,
  type Action,
  type AcceptedRecipient,
  type Session,
  type Sifted,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { StorageFailure } from "./storage-failure.ts";
import { withoutSenders } from "./without-senders.ts";

/** What becomes of a mail that all filters have seen. */
export function sifted(world: World, session: Session, found: Sifted): Step {
  const { phase } = session;
  if (phase.at !== "sifting") return [session, []];
  const { content } = phase;
  const transaction = withTags(phase.transaction, found.tags);
  const { message } = transaction;
  if (message === undefined) return [session, []];
  const { fate } = found;
  const told = [
    ...notesTold(world, session, { transaction }, found.notes),
    ...found.told.map((one) => tellVerdict(world, message, one)),
    ...found.misplaced.map((one) => tell(recipientNotAdded, { session: world.terms.session, message, ...one })),
  ];
  const done: Session = { ...session, phase: READY, idleCommands: 0 };
  switch (fate.kind) {
    case "refuse":
      return perRecipient(world, done, transaction, fate.reply, [...told, { do: "abandon" }], byFilter(fate.by));
    case "handed-over": {
      if (fate.reply.code >= 400)
        return perRecipient(world, done, transaction, fate.reply, [...told, { do: "abandon" }], byFilter(fate.by));
      const about = { session: world.terms.session, message, filter: fate.by.filter, reply: replyText(fate.reply) };
      const event = tell(mailFilteredOn, about);
      return [done, [...told, { do: "abandon" }, event, ...finalReplies(session, transaction, fate.reply)]];
    }
    case "discard":
      return discarded(world, done, transaction, fate, told);
    case "keep":
    case "quarantine": {
      const stay = recipientsOf(transaction, found);
      // What is put aside waits for somebody's look: those who asked for it may yet be given it.
      const all = found.sender === undefined ? transaction.recipients : transaction.recipients.map(withoutSenders);
      const left = stay.length === 0 && fate.kind === "quarantine" ? all : stay;
      // Who was to get it instead is unknown here: nobody meant the mail to be thrown away.
      if (left.length === 0 && found.misplaced.length > 0)
        return perRecipient(world, done, transaction, replies.notKept, [...told, { do: "abandon" }], {
          because: "filters left no recipient but those that are not added",
        });
      if (left.length === 0) return discarded(world, done, transaction, fate, told);
      const next: Transaction = {
        ...transaction,
        sender: found.sender ?? transaction.sender,
        recipients: left,
        answered: transaction.recipients,
      };
      const quarantine = fate.kind === "keep" ? undefined : { filter: fate.by.filter, because: fate.by.because };
      const { storedBytes, has8bit = content.facts.has8bit } = found;
      const now = { ...content, storedBytes, facts: { ...content.facts, has8bit } };
      return keep(world, session, next, message, now, told, quarantine);
    }
  }
}

function withTags(transaction: Transaction, tags: readonly string[]): Transaction {
  return tags.length === 0 ? transaction : { ...transaction, tags: [...(transaction.tags ?? []), ...tags] };
}

/** Nobody gets it: a filter said so, or took all of its recipients. */
function discarded(
  world: World,
  session: Session,
  transaction: Transaction,
  fate: SiftedFate,
  before: readonly Action[],
): Step {
  const { message = "" } = transaction;
  const by = fate.kind === "discard" ? fate.by : undefined;
  const event = tell(mailDiscarded, {
    session: world.terms.session,
    message,
    from: transaction.sender,
    recipients: transaction.recipients.length,
    filter: by?.filter,
    because: by?.because ?? (by === undefined ? "no recipient is left" : undefined),
  });
  return [session, [...before, { do: "abandon" }, event, ...finalReplies(session, transaction, queued(message))]];
}

function recipientsOf(transaction: Transaction, found: Sifted): readonly AcceptedRecipient[] {
  const removed = new Set(found.removed.map(fold));
  const stay = (found.rejudged ?? transaction.recipients).filter(({ given }) => !removed.has(fold(given)));
  const placed = found.placed.filter(({ given }) => !removed.has(fold(given)));
  const all = [...stay, ...placed.filter(({ given }) => stay.every((one) => fold(one.given) !== fold(given)))];
  const { action } = found;
  if (action === undefined) return all;
  // Commands, files and what is wrong with an address keep theirs: the action chosen is for mailboxes and hosts. So do those
  // whose mail goes to a content filter first: they are not expanded yet, and rules have their say when it comes back.
  return all.map((one) => ({
    ...one,
    targets: one.targets.map((target) =>
      isContentFilterAction(target.action) || (target.target !== undefined && target.target.kind !== "user")
        ? target
        : { ...target, action: action.action },
    ),
  }));
}

function fold(address: string): string {
  return address.toLowerCase();
}

/** The content could not be shown, or not be written anew. */
export function notSifted(world: World, session: Session, failure: StorageFailure): Step {
  const { phase } = session;
  if (phase.at !== "sifting") return [session, []];
  const { transaction } = phase;
  const { message } = transaction;
  if (message === undefined) return [session, []];
  const [done, told] = notKept(world, { ...session, phase: READY }, transaction, message, failure);
  return [done, [{ do: "abandon" }, ...told]];
}
