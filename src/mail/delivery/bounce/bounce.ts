import { isIP } from "node:net";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { envelopeIdOf, type MessageId } from "../../../foundation/ids.ts";
import { buildDsn, type Returned } from "../../../protocol/dsn/dsn.ts";
import type { RecipientReport } from "../../../protocol/dsn/delivery-status.ts";
import { sanitiseText } from "../../../protocol/message/field.ts";
import { newMessageId } from "../../../protocol/message/missing-fields.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { PLACED_LATER } from "../../envelope/content-filter.ts";
import { failureText } from "../../envelope/failure-text.ts";
import { draftOf } from "../../envelope/draft.ts";
import { noticeWishes, senderOf, type Envelope, type Message } from "../../envelope/envelope.ts";
import type { Target } from "../../envelope/policy.ts";
import { noticeAddress } from "../../envelope/rewrite/senders.ts";
import type { CommitRequest } from "../../queue/queue.ts";
import type { Body } from "../../queue/store.ts";
import { withBoundedWords } from "./bounded-words.ts";
import { contentNotReturned, noticeUnroutable } from "./events.ts";
import { noticeText } from "./notice-text.ts";
import type { MadeNotice, NoticeAbout, NoticeRequest, Notices } from "./notices.ts";
import { returnedContent } from "./returned-content.ts";
import type { BounceSettings } from "./settings.ts";

/**
 * The bounce agent: makes notices about envelopes for the senders of messages. It keeps three rules whatever it is asked:
 * what it makes has the null reverse path, nothing with the null reverse path is answered to its sender, and
 * NOTIFY and RET are honoured. RFC 3461 sections 4.1, 4.3 and 5.2; RFC 3464; RFC 5321 sections 4.5.5 and 6.1.
 */
export interface NoticesParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: BounceSettings;
  readonly hostname: string;
  /** Whom a notice names for help. */
  readonly postmaster: string;
  readonly newMessageId: () => MessageId;
  /** The content from its beginning. Rejects when it cannot be read. */
  readonly openBody: (body: Body) => Promise<AsyncIterable<Uint8Array>>;
  /** What the rules say about mail of our own to this recipient. */
  readonly chooseTargets: (recipient: string) => Promise<TargetsForNotice>;
}

export type TargetsForNotice =
  | { readonly kind: "targets"; readonly targets: readonly Target[] }
  | { readonly kind: "none"; readonly because: string }
  | { readonly kind: "failed"; readonly text: string };

export function createNotices(parts: NoticesParts): Notices {
  return { make: (request) => make(request, parts) };
}

async function make(request: NoticeRequest, parts: NoticesParts): Promise<MadeNotice> {
  const { kind, message } = request;
  // Envelopes of one notice have one sender: the scheduler tells each address by itself.
  const to = request.to ?? noticeAddress(message.sender, senderOf(message, request.about[0]?.envelope));
  if (to === "") return { kind: "unwanted" };
  // What goes to the postmaster is for the postmaster: the sender's wishes are about notices to the sender.
  const about = request.to === undefined ? request.about.filter((one) => isWanted(kind, one.envelope)) : request.about;
  if (about.length === 0) return { kind: "unwanted" };
  const unroutable = (why: string, because: string): MadeNotice => {
    parts.emit(noticeUnroutable, { message: message.id, kind, to, because: why });
    return { kind: "unroutable", about: about.map(({ envelope }) => envelope.id), because };
  };
  if (request.to !== undefined && isForPostmaster(message)) return unroutable(CAME_BACK, CAME_BACK);
  const chosen = await targetsFor(kind, to, parts);
  if (chosen.kind === "failed") throw new Error(`where to send a notice to <${to}> cannot be found: ${chosen.text}`);
  if (chosen.kind === "none" || chosen.targets.length === 0) {
    const because = chosen.kind === "none" ? chosen.because : "nobody is behind that address";
    return unroutable(because, `there is no way to <${to}>: ${because}`);
  }
  const composed = await compose(request, about, to, chosen.targets, parts);
  return { kind: "notice", request: composed, about: about.map(({ envelope }) => envelope.id) };
}

/**
 * A bounce and a delay notice wait for a table that does not answer now, with what they tell of. A delivery has happened, and nothing
 * of it is left to come back to: its notice is kept at once, and finds its way when it is tried.
 */
async function targetsFor(kind: NoticeRequest["kind"], to: string, parts: NoticesParts): Promise<TargetsForNotice> {
  const later = { kind: "targets", targets: [{ recipient: to, action: PLACED_LATER }] } as const;
  try {
    const chosen = await parts.chooseTargets(to);
    return chosen.kind === "failed" && kind === "success" ? later : chosen;
  } catch (thrown) {
    if (kind === "success") return later;
    throw thrown;
  }
}

/**
 * What is for a postmaster says so in its Message-ID. One that came back, by a forward elsewhere or from a host whose
 * postmaster is ours, is not told to postmaster again: that would go round for ever, without a hop that is counted.
 */
const FOR_POSTMASTER = "dead-letter.";
const IS_FOR_POSTMASTER = /^<\d{14}\.dead-letter\./;
const CAME_BACK = "it is a notice for a postmaster itself, and has come back";

function isForPostmaster({ sender, messageIdField = "" }: Pick<Message, "sender" | "messageIdField">): boolean {
  return sender === "" && IS_FOR_POSTMASTER.test(messageIdField);
}

/** RFC 3461 section 4.1: without NOTIFY, failures are told and so, here, are delays; NEVER is never. */
function isWanted(kind: NoticeRequest["kind"], envelope: Envelope): boolean {
  const { notify } = envelope;
  if (notify.length === 0) return kind !== "success";
  return notify.includes(kind === "bounce" ? "FAILURE" : kind === "delay" ? "DELAY" : "SUCCESS");
}

async function compose(
  request: NoticeRequest,
  about: readonly NoticeAbout[],
  to: string,
  targets: readonly Target[],
  parts: NoticesParts,
): Promise<CommitRequest> {
  const { message } = request;
  const { hostname } = parts;
  const wishes = noticeWishes(
    message,
    about.map(({ envelope }) => envelope),
  );
  const id = parts.newMessageId();
  const now = parts.clock.now();
  const mark = request.to === undefined ? "" : FOR_POSTMASTER;
  const messageIdField = newMessageId({ at: now, id: `${mark}${id}`, host: hostname });
  const told = withBoundedWords(about);
  const { subject, lines } = noticeText(request, told, parts);
  const built = buildDsn({
    hostname,
    to,
    subject,
    at: now,
    messageId: messageIdField,
    inReplyTo: message.messageIdField,
    text: lines,
    report: {
      reportingMta: hostname,
      queueId: message.id,
      arrivalAt: message.receivedAt,
      originalEnvelopeId: wishes.dsnEnvelopeId,
      recipients: told.map((one) => recipientReport(request.kind, one)),
    },
    returned: await whatToReturn(request, wishes.dsnReturn, parts),
    boundaryWord: id,
  });
  const body: Body = { kind: "inline", bytes: built.bytes };
  return {
    message: {
      id,
      sender: "",
      receivedAt: now,
      sizeBytes: built.bytes.length,
      content: built.is8bit ? "8bit" : "7bit",
      isInternational: built.isInternational,
      messageIdField,
      origin: { listener: "bounce", protocol: "local", session: "" },
      tenant: message.tenant,
    },
    body,
    // RFC 3461 section 5.2: nobody is to be told what becomes of a notice.
    envelopes: targets
      .flatMap((target) => draftOf({ ...target, isListMember: false }, { given: to, notify: ["NEVER"] }) ?? [])
      .map((draft, at) => ({ id: envelopeIdOf(id, at + 1), message: id, ...draft })),
  };
}

/** RFC 3461 section 4.3: RET speaks about failures; other notices return the header. */
async function whatToReturn(
  request: NoticeRequest,
  dsnReturn: Message["dsnReturn"],
  parts: NoticesParts,
): Promise<Returned | undefined> {
  const { kind, message, body } = request;
  const wants = kind === "bounce" && dsnReturn !== "HDRS" ? "message" : "header";
  if (body === undefined) {
    parts.emit(contentNotReturned, { message: message.id, problem: "it is not in the queue any more" });
    return undefined;
  }
  try {
    return await returnedContent(await parts.openBody(body), message.sizeBytes, wants, parts.settings);
  } catch (thrown) {
    // The sender learns of the failure all the same.
    parts.emit(contentNotReturned, { message: message.id, problem: messageOf(thrown) });
    return undefined;
  }
}

function recipientReport(kind: NoticeRequest["kind"], about: NoticeAbout): RecipientReport {
  const { envelope, failure, before } = about;
  const common = {
    finalRecipient: envelope.recipient,
    originalRecipient: envelope.originalRecipient ?? (envelope.givenRecipient && `rfc822;${envelope.givenRecipient}`),
    lastAttemptAt: about.lastAttemptAt,
  };
  if (kind === "success") {
    const action = about.action ?? "relayed";
    // What was run, and which alias or rule asked for it, shows how the server is built and helps no sender.
    const diagnostic = about.taker === undefined ? diagnosticOf(action, about.text) : undefined;
    return { ...common, action, status: about.status ?? "2.0.0", remoteMta: nameIn(about.relay, action), diagnostic };
  }
  // What a host said last tells more than that the time ran out.
  const telling = failure?.reply === undefined && before?.reply !== undefined ? before : failure;
  const reply = telling?.reply;
  return {
    ...common,
    action: kind === "bounce" ? "failed" : "delayed",
    status: failure?.status ?? (kind === "bounce" ? "5.0.0" : "4.0.0"),
    remoteMta: reply === undefined ? undefined : nameIn(telling?.host ?? about.relay, "relayed"),
    diagnostic:
      reply !== undefined
        ? { type: "smtp", text: replyText(reply) }
        : failure && {
            type: "x-posthorn",
            text: [failure, before]
              .flatMap((one) => (one === undefined ? [] : [failureText(one, "sender")]))
              .join("; "),
          },
    willRetryUntilAt: kind === "delay" ? about.retryUntilAt : undefined,
  };
}

function diagnosticOf(action: "delivered" | "relayed", text: string | undefined): RecipientReport["diagnostic"] {
  if (text === undefined || text === "") return undefined;
  return action === "relayed" ? { type: "smtp", text } : { type: "x-posthorn", text: sanitiseText(text) };
}

/** The name in `name[address]:port`; nothing for a mailbox or `none`. */
function nameIn(host: string, action: "delivered" | "relayed"): string | undefined {
  if (action === "delivered" || host === "none") return undefined;
  const name = /^[^[\]]+(?=\[)/.exec(host)?.[0];
  // RFC 3464 section 2.1.2: a name of type dns that is no name is an address literal.
  if (name !== undefined && isIP(name) !== 0) return `[${isIP(name) === 6 ? "IPv6:" : ""}${name}]`;
  return name ?? /^\[[^\]]+\]/.exec(host)?.[0];
}
