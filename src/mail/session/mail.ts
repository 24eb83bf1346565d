import { addressOfPath } from "../../protocol/address/path.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { Command } from "../../protocol/smtp/command.ts";
import type { MailParameters, RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { Judgement } from "../envelope/policy.ts";
import { masqueradeSender } from "../envelope/rewrite/masquerade.ts";
import { isLoopback } from "../../service/table/networks.ts";
import { certificateRefusal } from "./client-certificate.ts";
import {
  clientAccepted,
  limitReached,
  receptionPaused,
  recipientExpanded,
  restrictionNoted,
  roomIsShort,
} from "./events.ts";
import { factsForRules } from "./facts-for-rules.ts";
import { askFilters, type FilterRefusal, type Pending } from "./ask-filters.ts";
import { answer, close, misuse, protocolOf, refuse } from "./refusing.ts";
import { forwardedClient } from "./passes.ts";
import { priorityChanged, replies } from "./replies.ts";
import {
  type Action,
  clientText,
  READY,
  reply,
  tell,
  type Facts,
  type Session,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";

/** MAIL and RCPT (RFC 5321 sections 4.1.1.2 and 4.1.1.3), with the parameters of the extensions. */
export function mail(world: World, session: Session, command: Extract<Command, { verb: "MAIL" }>): Step {
  const { terms } = world;
  const { facts } = session;
  const outOfOrder = greetFirst(world, facts) ?? (session.phase.at === "transaction" ? replies.nestedMail : undefined);
  if (outOfOrder !== undefined) return misuse(world, session, "MAIL", outOfOrder);
  const given = addressOfPath(command.from);
  const masquerade = terms.rewriting?.masquerade;
  const sender = masquerade === undefined ? given : masqueradeSender(masquerade, given);
  const refusal = notPermitted(world, facts) ?? parameterRefusal(world, facts, command);
  if (refusal !== undefined) return refuse(world, session, refusal, { stage: "MAIL", sender });
  const { refused } = session;
  if (refused !== undefined) return refuse(world, session, refused.reply, { stage: "MAIL", sender, ...refused.about });

  const client = clientText(facts.peer);
  const { messagesPerSession } = terms.settings;
  if (messagesPerSession > 0 && session.messages >= messagesPerSession) return close(session, replies.tooManyMessages);
  if (!world.allowance.take("message")) {
    const event = tell(limitReached, { session: terms.session, client, what: "messages in a minute" });
    return [session, [event, reply(replies.tooFast)]];
  }
  const because = world.paused();
  if (because !== undefined) {
    const event = tell(receptionPaused, { session: terms.session, client, because });
    return [session, [event, reply(replies.paused)]];
  }
  const short = world.shortage();
  if (short !== undefined) {
    const event = tell(roomIsShort, { session: terms.session, client, what: short });
    return [session, [event, reply(replies.insufficientStorage)]];
  }
  const transaction: Transaction = {
    sender,
    parameters: command.parameters,
    startedAt: world.now(),
    recipients: [],
    ...(facts.forwarded === undefined ? {} : { forwarded: facts.forwarded }),
  };
  if (world.filters === undefined) return mailAccepted(world, session, transaction);
  const begun: Action = { do: "newMail" };
  if (world.filters.wants("mail")) return askFilters(world, session, { stage: "mail", transaction }, [begun]);
  const [next, actions] = mailAccepted(world, session, transaction);
  return [next, [begun, ...actions]];
}

/** Filters have heard the sender. */
export function mailFiltered(
  world: World,
  session: Session,
  transaction: Transaction,
  refused: FilterRefusal | undefined,
): Step {
  if (refused === undefined) return mailAccepted(world, session, transaction);
  const { sender } = transaction;
  return refuse(world, { ...session, phase: READY }, refused.reply, { stage: "MAIL", sender, ...refused.about });
}

function mailAccepted(world: World, session: Session, transaction: Transaction): Step {
  const { parameters } = transaction;
  const next: Session = {
    ...session,
    // What XFORWARD said was about this mail.
    ...(session.facts.forwarded === undefined ? {} : { facts: { ...session.facts, forwarded: undefined } }),
    phase: { at: "transaction", transaction },
    messages: session.messages + 1,
    idleCommands: 0,
  };
  const priority = priorityOf(world, session.facts, parameters);
  // RFC 6710 section 4.1: who gets less than was asked for is told.
  return answer(next, priority === parameters.priority ? replies.senderOk : priorityChanged(priority ?? 0));
}

/** The order of greeting, encryption and authentication that the listener asks for. */
export function greetFirst(world: World, facts: Facts): Reply | undefined {
  if (facts.greeting !== "none") return undefined;
  return world.terms.protocol === "lmtp" ? replies.greetFirstLmtp : replies.greetFirst;
}

export function notPermitted(world: World, facts: Facts): Reply | undefined {
  const insecure = encryptionRefusal(world, facts);
  if (insecure !== undefined) return insecure;
  if (world.terms.auth !== "require" || facts.account !== undefined) return undefined;
  // A certificate that the listener's table lists by itself stands for a login.
  const identity = facts.certificate?.identity;
  if (identity?.kind === "known" && identity.mayRelay) return undefined;
  return identity?.kind === "failed" ? replies.policyUnavailable : replies.authenticateFirst;
}

/** What is missing of the encryption that the listener asks for, its client's certificate included. */
export function encryptionRefusal(world: World, { tls }: Facts): Reply | undefined {
  const { clientCertificate } = world.terms;
  const needsTls = world.terms.tls === "require" || clientCertificate === "require" || clientCertificate === "verify";
  if (tls === undefined) return needsTls ? replies.tlsFirst : undefined;
  return certificateRefusal(world.terms, tls);
}

function parameterRefusal(
  world: World,
  facts: Facts,
  { parameters, isInternational }: Extract<Command, { verb: "MAIL" }>,
): Reply | undefined {
  const { terms } = world;
  if (facts.greeting === "HELO" && Object.keys(parameters).length > 0) return replies.parametersNeedEhlo;
  // RFC 6531 section 3.5.
  if (isInternational && parameters.isInternational !== true) return replies.internationalSender;
  // RFC 1870 section 6.1.
  if ((parameters.sizeBytes ?? 0) > terms.settings.messageSize) return replies.messageTooBig;
  if (parameters.verp !== undefined && !mayVary(world, facts)) return replies.verpNotOffered;
  const releaseAt = releaseOf(parameters, world.now());
  if (releaseAt === undefined) return undefined;
  if (terms.protocol !== "submission" || terms.settings.futureRelease === 0) return replies.holdNotOffered;
  // RFC 4865 section 6.
  if (releaseAt > world.now() + terms.settings.futureRelease) return replies.holdTooLong;
  return releaseAt <= world.now() ? replies.holdOver : undefined;
}

/**
 * The priority that the message gets. To wait longer anybody may ask; to go first, only who has logged in or has a certificate
 * that stands for a login (RFC 6710 section 5: whoever may is trusted).
 */
export function priorityOf({ terms }: World, facts: Facts, { priority }: MailParameters): number | undefined {
  if (priority === undefined) return undefined;
  const identity = facts.certificate?.identity;
  const isProven = facts.account !== undefined || (identity?.kind === "known" && identity.mayRelay);
  return Math.min(priority, isProven ? terms.highestPriority : Math.min(0, terms.highestPriority));
}

/** RFC 4865: the moment before which the message is not to be sent. */
export function releaseOf(parameters: MailParameters, nowAt: number): number | undefined {
  if (parameters.holdForSeconds !== undefined) return nowAt + parameters.holdForSeconds * 1000;
  return parameters.holdUntilAt;
}

export function rcpt(world: World, session: Session, command: Extract<Command, { verb: "RCPT" }>): Step {
  const { phase, facts } = session;
  if (phase.at !== "transaction") return misuse(world, session, "RCPT", greetFirst(world, facts) ?? replies.mailFirst);
  const { transaction } = phase;
  if (transaction.chunks !== undefined) return misuse(world, session, "RCPT", replies.chunksBegun);
  const recipient = addressOfPath(command.to);
  const refusal = recipientRefusal(world, facts, transaction, command);
  if (refusal !== undefined) return refuse(world, session, refusal, { stage: "RCPT", transaction, recipient });
  const next: Session = {
    ...session,
    phase: { at: "judging", transaction, recipient, parameters: command.parameters },
  };
  return [next, [{ do: "judge", facts: factsForRules(world, facts, transaction), recipient }]];
}

function recipientRefusal(
  world: World,
  facts: Facts,
  transaction: Transaction,
  command: Extract<Command, { verb: "RCPT" }>,
): Reply | undefined {
  if (facts.greeting === "HELO" && Object.keys(command.parameters).length > 0) return replies.parametersNeedEhlo;
  if (command.isInternational && transaction.parameters.isInternational !== true) return replies.internationalRecipient;
  // RFC 5321 section 4.5.3.1.10.
  if (transaction.recipients.length >= world.terms.settings.recipients) return replies.tooManyRecipients;
  return world.allowance.take("recipient") ? undefined : replies.tooFast;
}

/** Whether the client may ask for a sender of its own for each recipient (XVERP, as Postfix has it). */
export function mayVary({ terms }: World, { peer, account }: Facts): boolean {
  const clients = terms.rewriting?.verp?.clients ?? "none";
  if (clients === "none") return false;
  return (
    peer.address === undefined || isLoopback(peer.address) || (clients === "authenticated" && account !== undefined)
  );
}

/** The rules have spoken about a recipient. */
export function recipientJudged(
  world: World,
  session: Session,
  asked: {
    readonly transaction: Transaction;
    readonly recipient: string;
    readonly parameters: RcptParameters;
    readonly isFiltered?: true | undefined;
  },
  judgement: Judgement,
): Step {
  const { transaction, recipient } = asked;
  const back: Session = { ...session, phase: { at: "transaction", transaction } };
  const noted = notesTold(world, session, asked, judgement.notes);
  if (judgement.kind === "reject") {
    const { because, rule, restriction } = judgement;
    const [refused, actions] = refuse(world, back, judgement.reply, {
      stage: "RCPT",
      transaction,
      recipient,
      because,
      rule,
      restriction,
    });
    return [refused, [...noted, ...actions]];
  }
  const targets = transaction.recipients.reduce((sum, one) => sum + one.targets.length, judgement.targets.length);
  // Of the largest list alone, all go; with others of its size, in transactions of their own.
  if (targets > MOST_TARGETS && transaction.recipients.length > 0)
    return refuse(world, back, replies.tooManyRecipients, { stage: "RCPT", transaction, recipient });
  if (asked.isFiltered === undefined && world.filters?.wants("rcpt") === true) {
    const { parameters } = asked;
    return askFilters(world, session, { stage: "rcpt", transaction, recipient, parameters, judgement }, noted);
  }
  return recipientAccepted(world, session, asked, judgement, noted);
}

/** Filters have heard of a recipient that the rules accept. */
export function recipientFiltered(
  world: World,
  session: Session,
  asked: Extract<Pending, { stage: "rcpt" }>,
  rewrite: string | undefined,
  refused: FilterRefusal | undefined,
): Step {
  const { transaction, recipient, parameters, judgement } = asked;
  const back: Session = { ...session, phase: { at: "transaction", transaction } };
  if (refused !== undefined)
    return refuse(world, back, refused.reply, { stage: "RCPT", transaction, recipient, ...refused.about });
  if (rewrite === undefined || rewrite === recipient) return recipientAccepted(world, session, asked, judgement, []);
  return [
    { ...session, phase: { at: "judging", transaction, recipient: rewrite, parameters, isFiltered: true } },
    [
      {
        do: "judge",
        facts: { ...factsForRules(world, session.facts, transaction), instead: { permittedAt: judgement.permittedAt } },
        recipient: rewrite,
      },
    ],
  ];
}

function recipientAccepted(
  world: World,
  session: Session,
  asked: { readonly transaction: Transaction; readonly recipient: string; readonly parameters: RcptParameters },
  judgement: Extract<Judgement, { kind: "accept" }>,
  noted: readonly Action[],
): Step {
  const { transaction, recipient } = asked;
  const message = transaction.message ?? world.newMessageId();
  const next: Transaction = {
    ...transaction,
    message,
    recipients: [
      ...transaction.recipients,
      { given: recipient, parameters: asked.parameters, targets: judgement.targets, rule: judgement.rule },
    ],
  };
  const after: Session = { ...session, phase: { at: "transaction", transaction: next } };
  const told = [...noted, ...expansionTold(world, message, recipient, judgement)];
  if (transaction.message !== undefined) return [after, [...told, reply(replies.recipientOk)]];
  const { facts } = session;
  const event = tell(clientAccepted, {
    session: world.terms.session,
    listener: world.terms.listener,
    message,
    client: clientText(facts.peer),
    mechanism: facts.mechanism,
    account: facts.account,
    originalClient: originalClient(transaction),
  });
  return [after, [event, ...told, reply(replies.recipientOk)]];
}

/** What restrictions had to say that decided nothing. */
export function notesTold(
  { terms }: World,
  { facts, after }: Session,
  {
    transaction,
    recipient,
  }: { readonly transaction?: Transaction | undefined; readonly recipient?: string | undefined },
  notes: Judgement["notes"] = [],
): readonly Action[] {
  return notes.map(({ restriction, text, isWarning = false }) =>
    tell(restrictionNoted, {
      session: terms.session,
      listener: terms.listener,
      message: transaction?.message,
      client: clientText(facts.peer),
      restriction,
      isWarning,
      stage: after,
      text,
      from: transaction?.sender,
      to: recipient,
      protocol: protocolOf(facts),
      helo: facts.helo,
    }),
  );
}

/** What the recipients of one transaction may stand for together: each is kept until the end of the content. */
const MOST_TARGETS = 100_000;
/** Longer chains and lists are told by their beginning. */
const MOST_STEPS_TOLD = 6;
const MOST_MEMBERS_TOLD = 4;

function expansionTold(
  { terms }: World,
  message: MessageId,
  to: string,
  { steps = [], targets }: Extract<Judgement, { kind: "accept" }>,
): readonly Action[] {
  if (steps.length === 0) return [];
  const told = steps.slice(0, MOST_STEPS_TOLD).map(({ address, where, to: members }) => {
    const more = members.length - MOST_MEMBERS_TOLD;
    const named = members.slice(0, MOST_MEMBERS_TOLD).join(", ");
    return `<${address}> by ${where}: ${named}${more > 0 ? ` and ${more} more` : ""}`;
  });
  const text = [...told, ...(steps.length > told.length ? [`${steps.length - told.length} more steps`] : [])].join(
    "; ",
  );
  return [tell(recipientExpanded, { session: terms.session, message, to, targets: targets.length, steps: text })];
}

/** What XFORWARD told of the client's client. */
function originalClient({ forwarded }: Transaction): string | undefined {
  const first = forwardedClient(forwarded);
  return first && `${first.name ?? "unknown"}[${first.address ?? "unknown"}]`;
}
