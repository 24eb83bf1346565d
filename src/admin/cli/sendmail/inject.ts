import { messageOf } from "../../../foundation/error.ts";
import { parseMailbox } from "../../../protocol/address/mailbox.ts";
import { isInternational } from "../../../protocol/address/mailbox.ts";
import type { Path } from "../../../protocol/address/path.ts";
import { formatMail, formatRcpt } from "../../../protocol/smtp/command.ts";
import { DotStuffer } from "../../../protocol/smtp/dot-stuffer.ts";
import { announcedLimits, offers, parseExtensions, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { parseNotify, type MailParameters, type RcptParameters } from "../../../protocol/smtp/parameters.ts";
import { ReplyParser } from "../../../protocol/smtp/reply-parser.ts";
import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import type { OutgoingMessage } from "./outgoing-message.ts";
import type { SendmailRequest } from "./sendmail-arguments.ts";
import type { Dialled } from "../world.ts";

/** What became of a message that was handed to the local server. */
export type Injected =
  | { readonly kind: "taken"; readonly reply: string }
  /** The server refused; nothing was sent to anybody. */
  | {
      readonly kind: "refused";
      /** `greeting`: nothing of the mail was said. `all`: not who gets it, but how many. */
      readonly at: "greeting" | "sender" | "recipients" | "all" | "content";
      readonly isLasting: boolean;
      readonly lines: readonly string[];
    }
  /** The connection broke, or what answered was no SMTP server. Nobody knows more: come again. */
  | { readonly kind: "broken"; readonly text: string };

const TOO_MANY = /^452[ -]4\.5\.3\b/;
const GREETING_MS = 30_000;
const COMMAND_MS = 60_000;
/** RFC 5321 section 4.5.3.2.5: for each piece of the content. */
const PIECE_MS = 180_000;
const PIECE_BYTES = 64 * 1024;
/** RFC 5321 section 4.5.3.2.6. */
const END_OF_DATA_MS = 600_000;

/**
 * Hands a message in over SMTP, to all recipients or to none: a program that is told "no" will send everything again,
 * and nobody should get it twice.
 */
export async function injectMessage(
  connection: Dialled,
  message: OutgoingMessage,
  request: SendmailRequest,
  hostname: string,
): Promise<Injected> {
  const dialogue = new Dialogue(connection);
  try {
    const outcome = await converse(dialogue, message, request, hostname);
    await dialogue.ask("QUIT", COMMAND_MS).catch(() => {});
    return outcome;
  } catch (thrown) {
    return { kind: "broken", text: messageOf(thrown) };
  } finally {
    connection.close();
  }
}

async function converse(
  dialogue: Dialogue,
  message: OutgoingMessage,
  request: SendmailRequest,
  hostname: string,
): Promise<Injected> {
  let greeting: Reply;
  try {
    greeting = await dialogue.reply(GREETING_MS);
  } catch (thrown) {
    return { kind: "refused", at: "greeting", isLasting: false, lines: [messageOf(thrown)] };
  }
  if (greeting.code >= 400) return refusal("greeting", greeting);
  const hello = await dialogue.ask(`EHLO ${hostname}`, COMMAND_MS);
  if (hello.code !== 250) return refusal("sender", hello);
  const extensions = parseExtensions(hello);
  const unspeakable = [message.sender, ...message.recipients].filter((address) => pathOf(address) === undefined);
  if (unspeakable.length > 0) {
    const lines = unspeakable.map((address) => `<${address}> cannot be written in SMTP`);
    return { kind: "refused", at: "recipients", isLasting: true, lines };
  }

  if (request.verp !== undefined && !offers(extensions, "XVERP")) {
    const text = "the server lets nobody here ask for VERP: set verp.clients, or verp.senders";
    return { kind: "refused", at: "sender", isLasting: true, lines: [text] };
  }
  // In parts some would get it and others not when the server stops in between.
  const { rcptMax } = announcedLimits(extensions);
  const count = message.recipients.length;
  if (rcptMax !== undefined && count > rcptMax) {
    const text = `the mail has ${count} recipients, and the server takes ${rcptMax} for one: send it in parts, or set session.recipients`;
    return { kind: "refused", at: "all", isLasting: true, lines: [text] };
  }
  const reversePath = pathOf(message.sender) ?? { kind: "null" };
  const mail = await dialogue.ask(formatMail(reversePath, mailParameters(message, request, extensions)), COMMAND_MS);
  if (mail.code !== 250) return refusal("sender", mail);
  const refusals: { readonly recipient: string; readonly reply: Reply }[] = [];
  let asked = 0;
  let hungUp: string | undefined;
  for (const recipient of message.recipients) {
    const path = pathOf(recipient);
    if (path === undefined) continue;
    const command = formatRcpt(path, recipientParameters(request, extensions), offers(extensions, "SMTPUTF8"));
    let answer: Reply;
    try {
      answer = await dialogue.ask(command, COMMAND_MS);
    } catch (thrown) {
      // What was refused before is refused.
      if (refusals.length === 0) throw thrown;
      hungUp = messageOf(thrown);
      break;
    }
    // RFC 5321 section 3.8: about the session, not about the recipient.
    if (answer.code === 421) {
      hungUp = replyText(answer);
      break;
    }
    asked++;
    if (answer.code >= 300) refusals.push({ recipient, reply: answer });
  }
  if (refusals.length > 0 || hungUp !== undefined) {
    const isRefused = refusals.some(({ reply }) => reply.code >= 500);
    // RFC 5321 section 4.5.3.1.10: it would always be so, for we never come with fewer.
    const isTooMany = refusals.some(({ reply }) => TOO_MANY.test(replyText(reply)));
    const lines = refusals.map(({ recipient, reply }) => `<${recipient}>: ${replyText(reply)}`);
    if (hungUp !== undefined) lines.push(`${hungUp}; ${count - asked} more recipients were not asked about`);
    return {
      kind: "refused",
      at: isTooMany && !isRefused ? "all" : "recipients",
      isLasting: isRefused || isTooMany,
      lines,
    };
  }
  const data = await dialogue.ask("DATA", COMMAND_MS);
  if (data.code !== 354) return refusal("content", data);
  const stuffer = new DotStuffer();
  for (const bytes of [...stuffer.push(message.content), ...stuffer.end()])
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) await dialogue.send(bytes.subarray(at, at + PIECE_BYTES));
  const end = await dialogue.reply(END_OF_DATA_MS);
  return end.code === 250 ? { kind: "taken", reply: replyText(end) } : refusal("content", end);
}

function refusal(at: "greeting" | "sender" | "content", answer: Reply): Injected {
  return { kind: "refused", at, isLasting: answer.code >= 500, lines: [replyText(answer)] };
}

function mailParameters(message: OutgoingMessage, request: SendmailRequest, extensions: Extensions): MailParameters {
  const addresses = [message.sender, ...message.recipients];
  const needsUtf8 = addresses.some((address) => {
    const mailbox = parseMailbox(address, { isInternational: true });
    return mailbox.ok && isInternational(mailbox.value);
  });
  const hasDsn = offers(extensions, "DSN");
  const is8bit = message.content.some((byte) => byte > 127);
  return {
    sizeBytes: offers(extensions, "SIZE") ? message.content.length : undefined,
    body: is8bit && offers(extensions, "8BITMIME") ? "8BITMIME" : undefined,
    isInternational: needsUtf8 && offers(extensions, "SMTPUTF8"),
    dsnReturn: hasDsn ? request.dsnReturn : undefined,
    dsnEnvelopeId: hasDsn ? request.envelopeId : undefined,
    verp: request.verp,
  };
}

function recipientParameters(request: SendmailRequest, extensions: Extensions): RcptParameters {
  if (request.notify === undefined || !offers(extensions, "DSN")) return {};
  return { notify: parseNotify(request.notify) };
}

function pathOf(address: string): Path | undefined {
  if (address === "") return { kind: "null" };
  const mailbox = parseMailbox(address, { isInternational: true });
  return mailbox.ok ? { kind: "mailbox", mailbox: mailbox.value } : undefined;
}

/** Commands out, replies in, each within its limit. */
class Dialogue {
  readonly #connection: Dialled;
  readonly #parser = new ReplyParser();
  #replies: Reply[] = [];

  constructor(connection: Dialled) {
    this.#connection = connection;
  }

  async ask(command: string, limitMs: number): Promise<Reply> {
    await this.#connection.write(`${command}\r\n`, limitMs);
    return this.reply(limitMs);
  }

  send(bytes: Buffer): Promise<void> {
    return this.#connection.write(bytes, PIECE_MS);
  }

  async reply(limitMs: number): Promise<Reply> {
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined) return reply;
      const bytes = await this.#connection.read(limitMs);
      if (bytes === undefined) throw new Error("the server closed the connection");
      for (const event of this.#parser.push(bytes)) {
        if (event.kind === "broken") throw new Error(`what answers there speaks no SMTP: ${event.text}`);
        this.#replies.push(event.reply);
      }
    }
  }
}
