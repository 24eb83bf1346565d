import { formatDateTime } from "../../../protocol/message/date-time.ts";
import { sanitiseText } from "../../../protocol/message/field.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { senderOf } from "../../envelope/envelope.ts";
import type { Taker } from "../delivery.ts";
import type { NoticeAbout, NoticeRequest } from "./notices.ts";
import { sentenceFor } from "./sentence.ts";

/** What a notice says to people: subject and text, as lines without line ends. */
export interface NoticeText {
  readonly subject: string;
  readonly lines: readonly string[];
}

const WIDTH = 76;

export function noticeText(
  request: NoticeRequest,
  about: readonly NoticeAbout[],
  { hostname, postmaster }: { readonly hostname: string; readonly postmaster: string },
): NoticeText {
  const lines = [
    `This is the mail server ${hostname}.`,
    "",
    ...(request.to === undefined ? [] : [...wrap(toPostmaster(senderIn(request)), ""), ""]),
    ...wrap(introduction(request, about.length), ""),
    "",
    ...about.flatMap((one) => [...aboutLines(request.kind, one), ""]),
    ...wrap(
      `A report for programs follows, and then ${request.kind === "bounce" ? "your message or its header" : "the header of your message"}. If you need help, write to ${postmaster} and send this notice along.`,
      "",
    ),
  ];
  return { subject: subjectFor(request, about), lines };
}

function toPostmaster(sender: string): string {
  const because =
    sender === ""
      ? "the message had the empty sender (it was a notice itself)"
      : `there is no way back to the sender of the message, <${sender}>`;
  return `You get this as its postmaster: ${because}, so nobody else can be told.`;
}

/** Envelopes of one notice have one sender. */
function senderIn({ message, about }: NoticeRequest): string {
  return senderOf(message, about[0]?.envelope);
}

function subjectFor(request: NoticeRequest, about: readonly NoticeAbout[]): string {
  const { kind, to } = request;
  const whose = to === undefined ? "Your message" : senderIn(request) === "" ? "A notice" : "A message";
  if (kind === "bounce") return `${whose} could not be delivered`;
  if (kind === "delay") return `${whose} is delayed`;
  if (about.some((one) => one.taker === "nobody")) return `${whose} was accepted`;
  return about.every((one) => one.action === "delivered") ? `${whose} was delivered` : `${whose} was passed on`;
}

function introduction({ kind, message }: NoticeRequest, recipients: number): string {
  const to = recipients === 1 ? "to this recipient" : `to these ${recipients} recipients`;
  const since = `received here on ${formatDateTime(message.receivedAt, 0)}`;
  if (kind === "bounce") return `The message, ${since}, could not be delivered ${to}. It will not be tried again.`;
  if (kind === "delay")
    return `The message, ${since}, could not be delivered ${to} yet. It is kept and tried again; you need not send it again.`;
  return `You asked to be told what becomes of the message, ${since}, on its way ${to}.`;
}

function aboutLines(kind: NoticeRequest["kind"], about: NoticeAbout): readonly string[] {
  const { envelope } = about;
  const given = envelope.givenRecipient ?? envelope.recipient;
  const via = given === envelope.recipient ? "" : `, by way of <${envelope.recipient}>`;
  const lines = [`<${sanitiseText(given)}>${sanitiseText(via)}:`];
  if (kind === "success") {
    const how =
      about.action === "delivered"
        ? TAKEN[about.taker ?? "mailbox"]
        : `It was handed over to ${about.relay}, which does not report deliveries: you may hear nothing more.`;
    return [...lines, ...wrap(how, "    ")];
  }
  // Expiry alone explains nothing: what went wrong until then is the reason.
  for (const failure of [about.failure, about.before]) {
    if (failure === undefined) continue;
    lines.push(...wrap(sentenceFor(failure), "    "));
    // The end of the time carries the words of what went wrong until then; they are shown there.
    const isShownBelow = failure !== about.before && about.before?.reply !== undefined;
    if (failure.reply !== undefined && !isShownBelow) lines.push(...wrap(replyText(failure.reply), "      > "));
  }
  if (kind === "delay" && about.retryUntilAt !== undefined)
    lines.push(...wrap(`It will be tried until ${formatDateTime(about.retryUntilAt, 0)}.`, "    "));
  return lines;
}

const TAKEN: Readonly<Record<Taker | "mailbox", string>> = {
  mailbox: "It is in the mailbox.",
  file: "It is in the file that keeps this recipient's mail.",
  command: "The program that takes this recipient's mail has it.",
  list: "The mailing list has it, and sends it to its members.",
  nobody: "It was accepted and then thrown away, as the settings of this server ask.",
};

/** Lines of at most 76 characters where blanks allow it, each behind `indent`. */
function wrap(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of sanitiseText(text).split(/\s+/).filter(Boolean)) {
    if (line !== "" && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(indent + line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return line === "" ? lines : [...lines, indent + line];
}
