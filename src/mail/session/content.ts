import { unreachable } from "../../foundation/assert.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import { draftKey, draftOf, envelopeOf, mergedDraft, type EnvelopeDraft } from "../envelope/draft.ts";
import type { Envelope, Message, Quarantine } from "../envelope/envelope.ts";
import type { AuthorVerdict } from "../envelope/policy.ts";
import { SENDER_RIGHTS, wouldBeRefused } from "../envelope/would-be-refused.ts";
import { barelyEnded, messageIdSeen, mailQuarantined, messageKept, messageNotKept } from "./events.ts";
import { factsForRules } from "./facts-for-rules.ts";
import { notesTold, releaseOf, priorityOf } from "./mail.ts";
import { protocolOf } from "./opening.ts";
import { copyTold, forwardedClient, loopOf } from "./passes.ts";
import { filterFactsOf, mailFactsOf, tagsOf } from "./filter-facts.ts";
import { close, CLOSING, refuse, tellRejected, type Refused } from "./refusing.ts";
import { queued, replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Action,
  type Content,
  type Session,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";
import type { StorageFailure } from "./storage-failure.ts";
import { plainDetails } from "./tls-lines.ts";

/** The whole content has come, or been swallowed (`data.ts` let it): refuse it, or make it durable, and say so. */
export function contentEnded(world: World, session: Session, content: Content): Step {
  const { phase } = session;
  if (phase.at !== "data" && phase.at !== "chunk") return [session, []];
  const { transaction } = phase;
  const message = transaction?.message;
  if (transaction === undefined || message === undefined) return [session, []];
  const here: Session = { ...session, after: "END-OF-MESSAGE" };
  const seen = tell(messageIdSeen, {
    session: world.terms.session,
    message,
    messageId: content.messageIdField ?? "<>",
  });
  if (typeof content.refusal === "object") {
    const [done, told] = notKept(world, { ...here, phase: READY }, transaction, message, content.refusal);
    return [done, [{ do: "abandon" }, seen, ...told]];
  }
  const refusal = contentRefusal(world, transaction, content, content.refusal);
  if (refusal !== undefined) {
    const done: Session = { ...here, phase: READY };
    return perRecipient(world, done, transaction, refusal, [{ do: "abandon" }, seen]);
  }
  const loop = loopOf(world, transaction, content);
  if (loop !== undefined) {
    const done: Session = { ...here, phase: READY };
    const because = `it left for its content filter as ${loop}`;
    return perRecipient(world, done, transaction, replies.filterLoop, [{ do: "abandon" }, seen], { because });
  }
  const before = [seen, ...copyTold(world, session, transaction, message, content)];
  const about = factsForRules(world, session.facts, transaction);
  const wantsAuthor = world.wantsAuthor(about);
  if (wantsAuthor === false) return sift(world, here, transaction, message, content, before);
  // Behind a line that is no field others may find an author that nobody would judge here.
  if (content.isHeaderBroken === true) {
    const done: Session = { ...here, phase: READY };
    if (wantsAuthor !== "to-warn")
      return perRecipient(world, done, transaction, replies.headerBroken, [{ do: "abandon" }, seen]);
    before.push(...notesTold(world, here, { transaction }, [wouldBeRefused(SENDER_RIGHTS, replies.headerBroken)]));
  }
  return [
    { ...here, phase: { at: "weighing", transaction, content } },
    [...before, { do: "weigh", facts: about, fields: content.authorFields ?? [] }],
  ];
}

/** Whether the client may call itself what the From field says. */
export function authorWeighed(world: World, session: Session, verdict: AuthorVerdict): Step {
  const { phase } = session;
  if (phase.at !== "weighing") return [session, []];
  const { transaction, content } = phase;
  const { message } = transaction;
  if (message === undefined) return [session, []];
  if (verdict.kind === "accept") {
    const noted = notesTold(world, session, { transaction }, verdict.notes);
    return sift(world, session, transaction, message, content, noted);
  }
  const done: Session = { ...session, phase: READY };
  return perRecipient(world, done, transaction, verdict.reply, [{ do: "abandon" }], { because: verdict.because });
}

/** Nobody has anything against it, but for the filters that may want to look at it. */
function sift(
  world: World,
  session: Session,
  transaction: Transaction,
  message: MessageId,
  content: Content,
  before: readonly Action[],
): Step {
  if (world.filters?.wants("message") !== true) return keep(world, session, transaction, message, content, before);
  const mail = mailFactsOf(transaction);
  const tags = tagsOf(session.facts, transaction);
  return [
    { ...session, phase: { at: "sifting", transaction, content } },
    [
      ...before,
      {
        do: "sift",
        facts: { ...filterFactsOf(world, session.facts), tags, mail },
        who: factsForRules(world, session.facts, transaction),
        recipients: transaction.recipients,
      },
    ],
  ];
}

/** Makes it durable; with `quarantine` it stays in the queue until somebody has looked at it. */
export function keep(
  world: World,
  session: Session,
  transaction: Transaction,
  message: MessageId,
  content: Content,
  before: readonly Action[],
  quarantine?: Quarantine,
): Step {
  const whole = messageOf(world, session, transaction, message, content);
  const envelopes = envelopesOf(transaction, message);
  return [
    {
      ...session,
      phase: {
        at: "committing",
        transaction,
        message: whole,
        envelopes: envelopes.length,
        since: world.now(),
        quarantine,
      },
    },
    [...before, { do: "commit", message: whole, envelopes, quarantine }],
  ];
}

function contentRefusal(
  world: World,
  transaction: Transaction,
  { facts, hops }: Content,
  found: Exclude<Content["refusal"], StorageFailure>,
): Reply | undefined {
  const { settings, bareLineEnds } = world.terms;
  switch (found) {
    case "too-big":
      return replies.messageTooBig;
    case "header-too-big":
      return replies.headerTooBig;
    case "bare-header":
      return replies.bareLineEndInContent;
    case undefined:
      break;
    default:
      return unreachable(found);
  }
  const isBinary = transaction.parameters.body === "BINARYMIME";
  if (facts.bareEndings > 0 && bareLineEnds === "reject" && !isBinary) return replies.bareLineEndInContent;
  if (settings.contentLine > 0 && facts.longestLineBytes > settings.contentLine && !isBinary)
    return replies.contentLineTooLong;
  return hops > settings.hops ? replies.tooManyHops : undefined;
}

/** Bare line ends are refused, and the client waits for the answer to an end of data that was none. */
export function contentHopeless(world: World, session: Session): Step {
  const event = tell(barelyEnded, {
    session: world.terms.session,
    client: clientText(session.facts.peer),
    after: session.after,
  });
  return close(session, replies.bareLineEndInContent, event);
}

function messageOf(world: World, session: Session, transaction: Transaction, id: MessageId, content: Content): Message {
  const { terms } = world;
  const { facts } = session;
  const { parameters } = transaction;
  const { deliverBy } = parameters;
  return {
    id,
    sender: transaction.sender,
    receivedAt: world.now(),
    sizeBytes: content.storedBytes,
    content: parameters.body === "BINARYMIME" ? "binary" : content.facts.has8bit ? "8bit" : "7bit",
    isInternational: parameters.isInternational === true,
    messageIdField: content.messageIdField,
    origin: {
      listener: terms.listener,
      protocol: protocolOf(session, transaction),
      session: terms.session,
      address: facts.peer.address,
      port: facts.peer.port,
      clientName: facts.peer.name,
      helo: facts.helo,
      account: facts.account,
      forwarded: forwardedClient(transaction.forwarded),
    },
    priority: priorityOf(world, facts, parameters),
    tenant: terms.tenant,
    dsnReturn: parameters.dsnReturn,
    dsnEnvelopeId: parameters.dsnEnvelopeId,
    // RFC 2852 section 4: the time runs from MAIL.
    deliverBy:
      deliverBy === undefined
        ? undefined
        : { at: transaction.startedAt + deliverBy.seconds * 1000, mode: deliverBy.mode, trace: deliverBy.trace },
  };
}

/** One envelope for each target; a target that several recipients lead to gets the message once. */
function envelopesOf(transaction: Transaction, message: MessageId): readonly Envelope[] {
  const drafts = new Map<string, EnvelopeDraft>();
  const notBeforeAt = releaseOf(transaction.parameters, transaction.startedAt);
  for (const { given, parameters, targets } of transaction.recipients) {
    const wishes = {
      given,
      originalRecipient: parameters.originalRecipient,
      notify: parameters.notify ?? [],
      notBeforeAt,
    };
    for (const target of targets) {
      const draft = draftOf(target, wishes);
      if (draft === undefined) continue;
      const key = draftKey(draft);
      const before = drafts.get(key);
      drafts.set(key, before === undefined ? draft : mergedDraft(before, draft));
    }
  }
  return [...drafts.values()].map((draft, at) => envelopeOf(draft, message, at + 1));
}

export function committed(world: World, session: Session): Step {
  const { phase } = session;
  if (phase.at !== "committing") return [session, []];
  const { transaction, message, quarantine } = phase;
  const whose = {
    session: world.terms.session,
    message: message.id,
    from: transaction.sender,
    to: transaction.recipients.slice(0, MOST_TOLD_RECIPIENTS).map(({ given }) => given),
    recipients: transaction.recipients.length,
  };
  const event = tell(messageKept, {
    ...whose,
    listener: world.terms.listener,
    client: clientText(session.facts.peer),
    helo: session.facts.helo,
    account: session.facts.account,
    isEncrypted: session.facts.tls !== undefined,
    rules: [...new Set(transaction.recipients.flatMap(({ rule }) => rule ?? []))].slice(0, MOST_TOLD_RECIPIENTS),
    sizeBytes: message.sizeBytes,
    envelopes: phase.envelopes,
    tookMs: world.now() - phase.since,
    details: plainDetails(world.terms, session),
  });
  const done: Session = { ...session, phase: READY, idleCommands: 0 };
  const aside =
    quarantine === undefined ? [] : [tell(mailQuarantined, { ...whose, to: whose.to[0] ?? "", ...quarantine })];
  return [done, [event, ...aside, ...finalReplies(session, transaction, queued(message.id))]];
}

/** Of one mail, in the journal. */
const MOST_TOLD_RECIPIENTS = 100;

export function notCommitted(world: World, session: Session, failure: StorageFailure): Step {
  const { phase } = session;
  if (phase.at !== "committing") return [session, []];
  return notKept(world, { ...session, phase: READY }, phase.transaction, phase.message.id, failure);
}

/** The queue could not take a message: the log hears why, and the client that it may come again. */
export function notKept(
  world: World,
  done: Session,
  transaction: Transaction,
  message: MessageId,
  { isFull, reason }: StorageFailure,
): Step {
  const refusal = isFull ? replies.insufficientStorage : replies.notKept;
  const event = tell(messageNotKept, { session: world.terms.session, message, reason, reply: replyText(refusal) });
  return [done, [event, ...finalReplies(done, transaction, refusal)]];
}

/** RFC 2033 section 4.2: in LMTP one reply for each accepted recipient, in their order; in SMTP one for all. */
export function finalReplies(session: Session, transaction: Transaction, with_: Reply): readonly Action[] {
  if (session.facts.greeting !== "LHLO") return [reply(with_)];
  return (transaction.answered ?? transaction.recipients).map(({ given }) =>
    reply({ ...with_, lines: [`<${given}> ${with_.lines.join(" ")}`] }),
  );
}

export function perRecipient(
  world: World,
  session: Session,
  transaction: Transaction,
  with_: Reply,
  before: readonly Action[],
  by: Pick<Refused, "because" | "restriction" | "rule"> = {},
): Step {
  const about = { stage: "END-OF-MESSAGE", transaction, ...by };
  if (session.facts.greeting !== "LHLO") {
    const [after, actions] = refuse(world, session, with_, about);
    return [after, [...before, ...actions]];
  }
  const told = [...before, tellRejected(world, session, with_, about), ...finalReplies(session, transaction, with_)];
  return with_.code === CLOSING ? close(session, undefined, ...told) : [session, told];
}
