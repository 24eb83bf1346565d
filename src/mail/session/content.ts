import { unreachable } from "../../foundation/assert.ts";
import type { MessageId } from "../../foundation/ids.ts";
import { markReceived } from "../../protocol/message/own-received.ts";
import { formatReceived, withProtocol } from "../../protocol/message/received-field.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import { draftKey, draftOf, envelopeOf, mergedDraft, type EnvelopeDraft } from "../envelope/draft.ts";
import type { Envelope, Message, Quarantine } from "../envelope/envelope.ts";
import type { AuthorVerdict } from "../envelope/policy.ts";
import { SENDER_RIGHTS, wouldBeRefused } from "../envelope/would-be-refused.ts";
import {
  barelyEnded,
  improperPipelining,
  messageIdSeen,
  mailQuarantined,
  messageKept,
  messageNotKept,
} from "./events.ts";
import { traceOf } from "./encryption.ts";
import { factsForRules } from "./facts-for-rules.ts";
import { greetFirst, notesTold, releaseOf, priorityOf } from "./mail.ts";
import { copyTold, filtersAhead, forwardedClient, loopOf, wantsTrace } from "./passes.ts";
import { filterFactsOf, mailFactsOf, tagsOf } from "./filter-facts.ts";
import { askFilters, type FilterRefusal, type Pending } from "./ask-filters.ts";
import { answer, close, CLOSING, misuse, refuse, tellRejected, type Refused } from "./refusing.ts";
import { chunkReceived, queued, replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Action,
  type Content,
  type Opening,
  type Session,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";
import type { StorageFailure } from "./storage-failure.ts";
import { plainDetails } from "./tls-lines.ts";

/** DATA and BDAT (RFC 5321 section 4.1.1.4, RFC 3030), the end of the content, and the commit. */
export function data(world: World, session: Session, bytesBehind: number): Step {
  const { phase, facts } = session;
  // RFC 2920 section 3.1: DATA is the last of a group. What came behind it would be content for one of us and commands
  // for the other as soon as DATA is refused, so the session ends here whatever the answer would have been.
  if (bytesBehind > 0) return pipelinedImproperly(world, session, bytesBehind);
  if (phase.at !== "transaction") return misuse(world, session, "DATA", greetFirst(world, facts) ?? replies.mailFirst);
  const { transaction } = phase;
  if (transaction.chunks !== undefined) return misuse(world, session, "DATA", replies.chunksBegun);
  const { message } = transaction;
  // RFC 2033 section 4.2 wants 503 where RFC 5321 section 3.3 wants 554.
  if (message === undefined)
    return misuse(world, session, "DATA", facts.greeting === "LHLO" ? replies.noRecipientsLmtp : replies.noRecipients);
  if (transaction.parameters.body === "BINARYMIME") return misuse(world, session, "DATA", replies.dataForBinary);
  if (world.filters?.wants("data") === true) return askFilters(world, session, { stage: "data", transaction });
  return goAhead(world, session, transaction, message);
}

/** Filters have heard that content comes. */
export function dataFiltered(
  world: World,
  session: Session,
  transaction: Transaction,
  refused: FilterRefusal | undefined,
): Step {
  const { message } = transaction;
  if (refused === undefined && message !== undefined) return goAhead(world, session, transaction, message);
  const back: Session = { ...session, phase: { at: "transaction", transaction } };
  const { reply: no, about } = refused ?? { reply: replies.noRecipients, about: {} };
  return refuse(world, back, no, { stage: "DATA", transaction, ...about });
}

function goAhead(world: World, session: Session, transaction: Transaction, message: MessageId): Step {
  const opening = openingOf(world, session, transaction, message);
  return [{ ...session, phase: { at: "data", transaction } }, [reply(replies.goAhead), { do: "receiveData", opening }]];
}

/** `bytes` came too soon. */
export function pipelinedImproperly(world: World, session: Session, bytes: number): Step {
  return close(session, replies.improperPipelining, tellPipelining(world, session, bytes));
}

export function tellPipelining(world: World, session: Session, bytes: number): Action {
  const client = clientText(session.facts.peer);
  return tell(improperPipelining, { session: world.terms.session, client, after: session.after, bytes });
}

export function bdat(world: World, session: Session, sizeBytes: number, isLast: boolean): Step {
  const { phase } = session;
  const { messageSize } = world.terms.settings;
  const transaction = phase.at === "transaction" ? phase.transaction : undefined;
  const refusal = chunkRefusal(world, session, transaction, sizeBytes);
  // The octets of a refused chunk come all the same (RFC 3030 section 2) and must not be taken for commands. More than
  // a message's worth of them is not waited for.
  if (refusal !== undefined && sizeBytes > messageSize) return close(session, refusal);
  const isFirst = refusal === undefined && transaction !== undefined && transaction.chunks === undefined;
  if (isFirst && world.filters?.wants("data") === true)
    return askFilters(world, session, { stage: "chunk", transaction, sizeBytes, isLast });
  return chunkTaken(world, session, transaction, sizeBytes, isLast, refusal && { reply: refusal });
}

/** Filters have heard that content comes; the octets of a refused chunk come all the same. */
export function chunkFiltered(
  world: World,
  session: Session,
  { transaction, sizeBytes, isLast }: Extract<Pending, { stage: "chunk" }>,
  refused: FilterRefusal | undefined,
): Step {
  return chunkTaken(world, session, transaction, sizeBytes, isLast, refused);
}

function chunkTaken(
  world: World,
  session: Session,
  transaction: Transaction | undefined,
  sizeBytes: number,
  isLast: boolean,
  refused: { readonly reply: Reply; readonly about?: FilterRefusal["about"] } | undefined,
): Step {
  const hasOpening = refused === undefined && transaction?.message !== undefined;
  const opening = hasOpening ? openingOf(world, session, transaction, transaction.message) : undefined;
  return [
    {
      ...session,
      phase: { at: "chunk", transaction, sizeBytes, isLast, refusal: refused?.reply, about: refused?.about },
    },
    [{ do: "receiveChunk", opening, sizeBytes, isLast }],
  ];
}

function chunkRefusal(
  world: World,
  session: Session,
  transaction: Transaction | undefined,
  sizeBytes: number,
): Reply | undefined {
  if (transaction === undefined) return greetFirst(world, session.facts) ?? replies.mailFirst;
  if (transaction.chunks?.isFailed === true) return replies.chunkFailed;
  if (transaction.message === undefined)
    return session.facts.greeting === "LHLO" ? replies.noRecipientsLmtp : replies.noRecipients;
  const bytes = (transaction.chunks?.bytes ?? 0) + sizeBytes;
  return bytes > world.terms.settings.messageSize ? replies.messageTooBig : undefined;
}

/** A chunk that is not the last has passed, or one that was only swallowed, be it the last. */
export function chunkEnded(world: World, session: Session): Step {
  const { phase } = session;
  if (phase.at !== "chunk") return [session, []];
  const { transaction, refusal, about, sizeBytes, isLast } = phase;
  const done: Session = { ...session, phase: READY };
  if (transaction === undefined) return misuse(world, done, "BDAT", refusal ?? replies.mailFirst);
  // RFC 2033 section 4.3: as many replies as to an accepted mail, or the client takes the next command's for one of them.
  if (refusal !== undefined && isLast && session.facts.greeting === "LHLO" && transaction.message !== undefined)
    return perRecipient(world, done, transaction, refusal, [{ do: "abandon" }], about);
  const bytes = (transaction.chunks?.bytes ?? 0) + sizeBytes;
  const chunks = { bytes, isFailed: refusal !== undefined };
  const next: Session = { ...session, phase: { at: "transaction", transaction: { ...transaction, chunks } } };
  if (refusal === undefined) return answer(next, chunkReceived(sizeBytes));
  const [after, actions] = refuse(world, next, refusal, { stage: "BDAT", transaction, ...about });
  return [after, [{ do: "abandon" }, ...actions]];
}

/** RFC 5321 section 4.4: the trace field that the stored content begins with. */
function openingOf(world: World, session: Session, transaction: Transaction, message: MessageId): Opening {
  const { terms } = world;
  const { facts } = session;
  const [only, ...others] = transaction.recipients;
  const at = world.now();
  const offsetMinutes = world.offsetMinutes();
  const filters = filtersAhead(transaction);
  const trace = formatReceived({
    helo: facts.helo,
    clientAddress: facts.peer.address,
    clientName: facts.peer.name,
    localUser: facts.isLocalUser === true ? facts.account : undefined,
    by: terms.hostname,
    protocol: protocolOf(session, transaction),
    id: message,
    tls: facts.tls === undefined ? undefined : traceOf(facts.tls),
    onlyRecipient: others.length === 0 ? only?.given : undefined,
    priority: priorityOf(world, facts, transaction.parameters),
    at,
    offsetMinutes,
  });
  return {
    message,
    trace: markReceived(trace, filters),
    wantsTrace: wantsTrace(world, session, filters) ? true : undefined,
    isBinary: transaction.parameters.body === "BINARYMIME",
    adding: terms.addsMissingFields
      ? { at, offsetMinutes, id: message, host: terms.hostname, sender: transaction.sender }
      : undefined,
  };
}

function protocolOf({ facts }: Session, transaction: Transaction): string {
  return withProtocol({
    greeting: facts.greeting === "none" ? "EHLO" : facts.greeting,
    isInternational: transaction.parameters.isInternational === true,
    isEncrypted: facts.tls !== undefined,
    isAuthenticated: facts.account !== undefined,
  });
}

/** The whole content has come, or been swallowed: refuse it, or make it durable. */
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
