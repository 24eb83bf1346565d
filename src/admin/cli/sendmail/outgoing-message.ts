import { ok, refused, type Result } from "../../../foundation/result.ts";
import { formatLocal, parseMailbox } from "../../../protocol/address/mailbox.ts";
import { formatListed, parseAddressList } from "../../../protocol/message/address-list.ts";
import { parseHeaderSection, recipientsOf, withoutFields } from "../../../protocol/message/header-fields.ts";
import { missingFields } from "../../../protocol/message/missing-fields.ts";
import type { SendmailRequest } from "./sendmail-arguments.ts";

/** A message as `send` hands it in: the envelope, and the content with what was missing and without Bcc. */
export interface OutgoingMessage {
  /** `""` is the null sender. */
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly content: Buffer;
}

export interface OutgoingFacts {
  readonly now: number;
  readonly offsetMinutes: number;
  /** For the Message-ID: unique for ever on this host. */
  readonly id: string;
  readonly hostname: string;
  /** The domain of names that are given without one. */
  readonly mailName: string;
  readonly callerName: string;
  readonly callerFullName?: string | undefined;
}

/** Where the mistake lies: in how the command was called, or in the message. */
export interface OutgoingProblem {
  readonly in: "arguments" | "message";
  readonly text: string;
}

const LF = 10;
const CR = 13;
const DOT = 46;

export function prepareMessage(
  input: Buffer,
  request: SendmailRequest,
  facts: OutgoingFacts,
): Result<OutgoingMessage, OutgoingProblem> {
  const given = withoutFromLine(request.ignoresDots ? input : untilDot(input));
  const header = parseHeaderSection(given);
  const recipients = new Set<string>();
  for (const argument of request.recipients) {
    const list = parseAddressList(argument);
    if (!list.ok || list.value.length === 0)
      return refused({ in: "arguments", text: `${JSON.stringify(argument)} is not an address` });
    for (const address of list.value) recipients.add(formatListed(address, facts.mailName));
  }
  if (request.recipientsFromHeader) {
    const named = recipientsOf(header);
    if (!named.ok)
      return refused({ in: "message", text: `the header has a bad address: expected ${named.problem.expected}` });
    for (const address of named.value) recipients.add(formatListed(address, facts.mailName));
  }
  if (recipients.size === 0) {
    return request.recipientsFromHeader
      ? refused({ in: "message", text: "no recipients in To, Cc or Bcc" })
      : refused({ in: "arguments", text: "no recipients: name them, or use -t" });
  }
  const sender = senderOf(request, facts);
  if (sender === undefined)
    return refused({ in: "arguments", text: `-f ${JSON.stringify(request.sender)} is not an address` });

  // RFC 5322 section 3.6.3: with recipients from the header, Bcc was for us and is for nobody else.
  const visible = request.recipientsFromHeader ? withoutFields(given, header, "Bcc", "Resent-Bcc") : given;
  const added = missingFields(
    { values: new Map(header.fields.map((field) => [field.name.toLowerCase(), [field.value]])) },
    {
      at: facts.now,
      offsetMinutes: facts.offsetMinutes,
      id: facts.id,
      host: facts.hostname,
      sender,
      senderName: request.fullName ?? (request.sender === undefined ? facts.callerFullName : undefined),
    },
  );
  // Without an empty line the body would become part of the header that we add.
  const gap = header.end === header.bodyAt ? "\r\n" : "";
  const headerEnd = visible.length - (given.length - header.end);
  const content = Buffer.concat([
    Buffer.from(added),
    visible.subarray(0, headerEnd),
    Buffer.from(gap),
    visible.subarray(headerEnd),
  ]);
  return ok({ sender, recipients: [...recipients], content });
}

function senderOf(request: SendmailRequest, facts: OutgoingFacts): string | undefined {
  if (request.sender === "") return "";
  if (request.sender === undefined) return addressOf(facts.callerName, facts.mailName);
  const list = parseAddressList(request.sender);
  const [address] = list.ok ? list.value : [];
  return address === undefined ? undefined : formatListed(address, facts.mailName);
}

/** A login's name is no list of addresses, whatever stands in it; a directory may have addresses for names. */
function addressOf(login: string, mailName: string): string {
  return parseMailbox(login, { isInternational: true }).ok ? login : `${formatLocal(login)}@${mailName}`;
}

/** Up to a line that is a dot alone, as an interactive user ends a message. */
function untilDot(input: Buffer): Buffer {
  for (let at = 0; at < input.length;) {
    const lf = input.indexOf(LF, at);
    const end = lf < 0 ? input.length : lf;
    const last = input[end - 1] === CR && end > at ? end - 1 : end;
    if (last - at === 1 && input[at] === DOT) return input.subarray(0, at);
    if (lf < 0) break;
    at = lf + 1;
  }
  return input;
}

/** mbox files begin messages with a `From ` line that is no header field; mail programs hand it on. */
function withoutFromLine(input: Buffer): Buffer {
  if (input.toString("latin1", 0, 5) !== "From ") return input;
  const lf = input.indexOf(LF);
  return lf < 0 ? input : input.subarray(lf + 1);
}
