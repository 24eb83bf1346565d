import { addressOfPath } from "../../protocol/address/path.ts";
import type { Command } from "../../protocol/smtp/command.ts";
import type { MailParameters, RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { Judgement, SessionFactsForRules } from "../envelope/policy.ts";
import { certificateForRules, certificateRefusal } from "./client-certificate.ts";
import { clientAccepted, limitReached, receptionPaused, roomIsShort } from "./events.ts";
import { answer, close, misuse, refuse } from "./refusing.ts";
import { priorityChanged, replies } from "./replies.ts";
import { clientText, reply, tell, type Facts, type Session, type Step, type Transaction, type World } from "./state.ts";

/** MAIL and RCPT (RFC 5321 sections 4.1.1.2 and 4.1.1.3), with the parameters of the extensions. */
export function mail(world: World, session: Session, command: Extract<Command, { verb: "MAIL" }>): Step {
  const { terms } = world;
  const { facts } = session;
  const outOfOrder = greetFirst(world, facts) ?? (session.phase.at === "transaction" ? replies.nestedMail : undefined);
  if (outOfOrder !== undefined) return misuse(world, session, "MAIL", outOfOrder);
  const sender = addressOfPath(command.from);
  const refusal = notPermitted(world, facts) ?? parameterRefusal(world, facts, command);
  if (refusal !== undefined) return refuse(world, session, refusal, { stage: "MAIL", sender });

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
  };
  const next: Session = {
    ...session,
    phase: { at: "transaction", transaction },
    messages: session.messages + 1,
    idleCommands: 0,
  };
  const priority = priorityOf(world, facts, command.parameters);
  // RFC 6710 section 4.1: who gets less than was asked for is told.
  return answer(next, priority === command.parameters.priority ? replies.senderOk : priorityChanged(priority ?? 0));
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
  return [next, [{ do: "judge", facts: factsForRules(world, facts, transaction.sender), recipient }]];
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

export function factsForRules(world: World, facts: Facts, sender: string): SessionFactsForRules {
  return {
    listener: world.terms.listener,
    tag: world.terms.tag,
    clientAddress: facts.peer.address,
    clientName: facts.peer.name,
    helo: facts.helo,
    isEncrypted: facts.tls !== undefined,
    account: facts.account,
    certificate: certificateForRules(facts),
    sender,
  };
}

/** The rules have spoken about a recipient. */
export function recipientJudged(
  world: World,
  session: Session,
  asked: { readonly transaction: Transaction; readonly recipient: string; readonly parameters: RcptParameters },
  judgement: Judgement,
): Step {
  const { transaction, recipient } = asked;
  const back: Session = { ...session, phase: { at: "transaction", transaction } };
  if (judgement.kind === "reject")
    return refuse(world, back, judgement.reply, { stage: "RCPT", transaction, recipient, because: judgement.because });
  const message = transaction.message ?? world.newMessageId();
  const next: Transaction = {
    ...transaction,
    message,
    recipients: [
      ...transaction.recipients,
      { given: recipient, parameters: asked.parameters, targets: judgement.targets },
    ],
  };
  const after: Session = { ...session, phase: { at: "transaction", transaction: next } };
  if (transaction.message !== undefined) return answer(after, replies.recipientOk);
  const { facts } = session;
  const event = tell(clientAccepted, {
    session: world.terms.session,
    listener: world.terms.listener,
    message,
    client: clientText(facts.peer),
    mechanism: facts.mechanism,
    account: facts.account,
    originalClient: originalClient(facts),
  });
  return [after, [event, reply(replies.recipientOk)]];
}

/** What XFORWARD told of the client's client. */
function originalClient({ forwarded }: Facts): string | undefined {
  if (forwarded === undefined) return undefined;
  const said = (name: string): string => {
    const value = forwarded.get(name);
    return value === undefined || value.startsWith("[") ? "unknown" : value;
  };
  return `${said("NAME")}[${said("ADDR")}]`;
}
