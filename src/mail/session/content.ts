import { unreachable } from "../../foundation/assert.ts";
import { envelopeIdOf, type MessageId } from "../../foundation/ids.ts";
import { formatReceived, withProtocol } from "../../protocol/message/received-field.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { Envelope, Message } from "../envelope/envelope.ts";
import { barelyEnded, improperPipelining, messageIdSeen, messageKept, messageNotKept } from "./events.ts";
import { traceOf } from "./encryption.ts";
import { greetFirst, releaseOf, priorityOf } from "./mail.ts";
import { answer, close, misuse, refuse, tellRejected } from "./refusing.ts";
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
  const hasOpening = refusal === undefined && transaction?.message !== undefined;
  const opening = hasOpening ? openingOf(world, session, transaction, transaction.message) : undefined;
  return [
    { ...session, phase: { at: "chunk", transaction, sizeBytes, isLast, refusal } },
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

/** A chunk that is not the last has passed, or one that was only swallowed. */
export function chunkEnded(world: World, session: Session): Step {
  const { phase } = session;
  if (phase.at !== "chunk") return [session, []];
  const { transaction, refusal, sizeBytes } = phase;
  if (transaction === undefined)
    return misuse(world, { ...session, phase: READY }, "BDAT", refusal ?? replies.mailFirst);
  const bytes = (transaction.chunks?.bytes ?? 0) + sizeBytes;
  const chunks = { bytes, isFailed: refusal !== undefined };
  const next: Session = { ...session, phase: { at: "transaction", transaction: { ...transaction, chunks } } };
  if (refusal === undefined) return answer(next, chunkReceived(sizeBytes));
  const [after, actions] = refuse(world, next, refusal, { stage: "BDAT", transaction });
  return [after, [{ do: "abandon" }, ...actions]];
}

/** RFC 5321 section 4.4: the trace field that the stored content begins with. */
function openingOf(world: World, session: Session, transaction: Transaction, message: MessageId): Opening {
  const { terms } = world;
  const { facts } = session;
  const [only, ...others] = transaction.recipients;
  const at = world.now();
  const offsetMinutes = world.offsetMinutes();
  const trace = formatReceived({
    helo: facts.helo,
    clientAddress: facts.peer.address,
    clientName: facts.peer.name,
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
    trace,
    isBinary: transaction.parameters.body === "BINARYMIME",
    ...(terms.addsMissingFields
      ? { adding: { at, offsetMinutes, id: message, host: terms.hostname, sender: transaction.sender } }
      : {}),
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
  const refusal = contentRefusal(world, transaction, content);
  const seen = tell(messageIdSeen, {
    session: world.terms.session,
    message,
    messageId: content.messageIdField ?? "<>",
  });
  if (refusal !== undefined) {
    const done: Session = { ...here, phase: READY };
    return perRecipient(world, done, transaction, refusal, [{ do: "abandon" }, seen]);
  }
  const whole = messageOf(world, here, transaction, message, content);
  const envelopes = envelopesOf(transaction, message);
  return [
    { ...here, phase: { at: "committing", transaction, message: whole, since: world.now() } },
    [seen, { do: "commit", message: whole, envelopes }],
  ];
}

function contentRefusal(world: World, transaction: Transaction, content: Content): Reply | undefined {
  const { settings, bareLineEnds } = world.terms;
  const { facts } = content;
  switch (content.refusal) {
    case "too-big":
      return replies.messageTooBig;
    case "header-too-big":
      return replies.headerTooBig;
    case "storage":
      return replies.notKept;
    case undefined:
      break;
    default:
      return unreachable(content.refusal);
  }
  const isBinary = transaction.parameters.body === "BINARYMIME";
  if (facts.bareEndings > 0 && bareLineEnds === "reject" && !isBinary) return replies.bareLineEndInContent;
  if (settings.contentLine > 0 && facts.longestLineBytes > settings.contentLine && !isBinary)
    return replies.contentLineTooLong;
  return content.hops > settings.hops ? replies.tooManyHops : undefined;
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
  const envelopes: Envelope[] = [];
  const seen = new Set<string>();
  const notBeforeAt = releaseOf(transaction.parameters, transaction.startedAt);
  for (const { given, parameters, targets } of transaction.recipients) {
    for (const { recipient, action } of targets) {
      const key = `${action} ${recipient}`;
      if (seen.has(key)) continue;
      seen.add(key);
      envelopes.push({
        id: envelopeIdOf(message, envelopes.length + 1),
        message,
        recipient,
        givenRecipient: given === recipient ? undefined : given,
        originalRecipient: parameters.originalRecipient,
        notify: parameters.notify ?? [],
        action,
        notBeforeAt,
      });
    }
  }
  return envelopes;
}

export function committed(world: World, session: Session): Step {
  const { phase } = session;
  if (phase.at !== "committing") return [session, []];
  const { transaction, message } = phase;
  const event = tell(messageKept, {
    session: world.terms.session,
    listener: world.terms.listener,
    message: message.id,
    sizeBytes: message.sizeBytes,
    recipients: transaction.recipients.length,
    envelopes: envelopesOf(transaction, message.id).length,
    tookMs: world.now() - phase.since,
    details: plainDetails(world.terms, session),
  });
  const done: Session = { ...session, phase: READY, idleCommands: 0 };
  return [done, [event, ...finalReplies(session, transaction, queued(message.id))]];
}

export function notCommitted(world: World, session: Session, isFull: boolean, reason: string): Step {
  const { phase } = session;
  if (phase.at !== "committing") return [session, []];
  const refusal = isFull ? replies.insufficientStorage : replies.notKept;
  const event = tell(messageNotKept, {
    session: world.terms.session,
    message: phase.message.id,
    reason,
    reply: replyText(refusal),
  });
  const done: Session = { ...session, phase: READY };
  return [done, [event, ...finalReplies(session, phase.transaction, refusal)]];
}

/** RFC 2033 section 4.2: in LMTP one reply for each accepted recipient, in their order; in SMTP one for all. */
function finalReplies(session: Session, transaction: Transaction, with_: Reply): readonly Action[] {
  if (session.facts.greeting !== "LHLO") return [reply(with_)];
  return transaction.recipients.map(({ given }) => reply({ ...with_, lines: [`<${given}> ${with_.lines.join(" ")}`] }));
}

function perRecipient(
  world: World,
  session: Session,
  transaction: Transaction,
  with_: Reply,
  before: readonly Action[],
): Step {
  if (session.facts.greeting !== "LHLO") {
    const [after, actions] = refuse(world, session, with_, { stage: "END-OF-MESSAGE", transaction });
    return [after, [...before, ...actions]];
  }
  const event = tellRejected(world, session, with_, { stage: "END-OF-MESSAGE", transaction });
  return [session, [...before, event, ...finalReplies(session, transaction, with_)]];
}
