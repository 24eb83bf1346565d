import { parseMailbox, formatMailbox, needsSmtpUtf8, splitAddress } from "../../../protocol/address/mailbox.ts";
import { formatMailParameters, formatRcptParameters } from "../../../protocol/smtp/parameters.ts";
import { offers, sizeLimit, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { noticeWishes, senderOf, type Envelope, type Message } from "../../envelope/envelope.ts";
import type { Cause, Failure } from "../../envelope/failure.ts";
import type { SessionFacts } from "../delivery.ts";
import type { SmtpClientSettings } from "../settings.ts";
import type { ContentNeeds } from "./content-needs.ts";

/**
 * What a message needs of its next host, and the commands that say so. Mail of others is never converted (of notices of our
 * own see `client-session.io.ts`): a host that lacks what the content or the addresses need cannot have the message (RFC 6152 section 3, RFC 3030 section 3, RFC 6531
 * section 3.2, RFC 2852 section 4), and no repeat at that host can change it, unless another session may be offered more.
 */
export interface Offer {
  /** Those that we use there. */
  readonly extensions: Extensions;
  readonly host: string;
  /** Send 8-bit content to a host without 8BITMIME all the same. */
  readonly sendsEightBit: boolean;
  /** The host would take binary content, and does not get it. */
  readonly isBinaryWithheld: boolean;
  /** Another session may be offered more: `SessionFacts.mayOfferMore`. */
  readonly mayOfferMore: boolean;
}

/** BINARYMIME is nothing without BDAT (RFC 3030 section 3). */
const BY_BDAT: readonly string[] = ["CHUNKING", "BINARYMIME"];

/** What a host offers as far as we use it: content filters get no BDAT, and nobody does where the settings say never. */
export function offerOf(
  offered: Extensions,
  { host, mayOfferMore = false }: Pick<SessionFacts, "host" | "mayOfferMore">,
  settings: Pick<SmtpClientSettings, "chunking" | "eightBit">,
  isContentFilter: boolean,
): Offer {
  const sendsEightBit = settings.eightBit === "send";
  if (!isContentFilter && settings.chunking !== "never")
    return { extensions: offered, host, sendsEightBit, isBinaryWithheld: false, mayOfferMore };
  const keywords = new Map([...offered.keywords].filter(([name]) => !BY_BDAT.includes(name)));
  const isBinaryWithheld = BY_BDAT.every((name) => offers(offered, name));
  return { extensions: { ...offered, keywords }, host, sendsEightBit, isBinaryWithheld, mayOfferMore };
}

export interface Commands {
  readonly mail: string;
  /** One for each envelope: its command, or why there can be none. */
  readonly recipients: readonly (string | Failure)[];
  /** BINARYMIME: the content goes as it is, by BDAT only. */
  readonly isBinary: boolean;
  /** DSN parameters travelled with the commands. */
  readonly dsnPassedOn: boolean;
}

const ASCII = /^[\x20-\x7e]*$/;

/** The host lacks something that the envelope claims to need: the content itself must be looked at before giving up. */
export function needsScan(message: Message, { extensions, sendsEightBit }: Offer): boolean {
  if (message.content === "binary" && !(offers(extensions, "BINARYMIME") && offers(extensions, "CHUNKING")))
    return true;
  if (message.content === "8bit" && !offers(extensions, "8BITMIME") && !sendsEightBit) return true;
  return message.isInternational && !offers(extensions, "SMTPUTF8");
}

/** The commands of a transaction, or why the host cannot have this message. `needs` is given when `needsScan` said so. */
export function commandsOf(
  message: Message,
  envelopes: readonly Envelope[],
  offer: Offer,
  now: number,
  needs?: ContentNeeds,
): Commands | Failure {
  const { extensions } = offer;
  const limit = sizeLimit(extensions);
  if (limit !== undefined && message.sizeBytes > limit) return lacks("SIZE", "5.3.4", offer);
  const has8bitMime = offers(extensions, "8BITMIME");
  const content = lesser(message.content, needs?.content ?? message.content);
  const isBinary = content === "binary";
  if (isBinary && !(offers(extensions, "BINARYMIME") && offers(extensions, "CHUNKING")))
    return lacks("BINARYMIME", "5.6.3", offer, offer.isBinaryWithheld);
  const hasUtf8 = offers(extensions, "SMTPUTF8");
  // One transaction has one sender: the scheduler never mixes them.
  const from = senderOf(message, envelopes[0]);
  const sender = from === "" ? "" : wireAddress(from, hasUtf8);
  if (sender === undefined) return lacks("SMTPUTF8", "5.6.7", offer);
  if (message.isInternational && !hasUtf8 && needs?.headerIsAscii !== true) return lacks("SMTPUTF8", "5.6.7", offer);
  if (content === "8bit" && !has8bitMime && !offer.sendsEightBit) return lacks("8BITMIME", "5.6.3", offer);
  const { deliverBy } = message;
  const hasDeliverBy = offers(extensions, "DELIVERBY");
  if (deliverBy?.mode === "return" && !hasDeliverBy) return lacks("DELIVERBY", "5.3.3", offer);

  const hasDsn = offers(extensions, "DSN");
  const needsUtf8 =
    hasUtf8 && (message.isInternational || !ASCII.test(sender) || envelopes.some((one) => !ASCII.test(one.recipient)));
  const mail = formatMailParameters({
    ...(offers(extensions, "SIZE") ? { sizeBytes: message.sizeBytes } : {}),
    ...(isBinary ? { body: "BINARYMIME" } : content === "8bit" && has8bitMime ? { body: "8BITMIME" } : {}),
    ...(needsUtf8 ? { isInternational: true } : {}),
    ...(hasDsn ? noticeWishes(message, envelopes) : {}),
    ...(message.priority !== undefined && offers(extensions, "MT-PRIORITY") ? { priority: message.priority } : {}),
    ...(deliverBy !== undefined && hasDeliverBy
      ? {
          deliverBy: {
            seconds: secondsUntil(deliverBy.at, now, deliverBy.mode),
            mode: deliverBy.mode,
            trace: deliverBy.trace,
          },
        }
      : {}),
  });
  const recipients = envelopes.map((envelope) => {
    const address = wireAddress(envelope.recipient, needsUtf8);
    if (address === undefined) return lacks("SMTPUTF8", "5.6.7", offer);
    if (!hasDsn) return `RCPT TO:<${address}>\r\n`;
    const { notify, originalRecipient } = envelope;
    return `RCPT TO:<${address}>${formatRcptParameters({ notify, originalRecipient }, needsUtf8)}\r\n`;
  });
  return { mail: `MAIL FROM:<${sender}>${mail}\r\n`, recipients, isBinary, dsnPassedOn: hasDsn };
}

/**
 * A look at the content can only find that it needs less than was declared. A NUL or a long line in what came by DATA
 * was no reason to refuse it then, and is none to bounce it now.
 */
function lesser(declared: Message["content"], found: Message["content"]): Message["content"] {
  return CONTENTS.indexOf(found) < CONTENTS.indexOf(declared) ? found : declared;
}

const CONTENTS: readonly Message["content"][] = ["7bit", "8bit", "binary"];

/** RFC 2852 section 4.1.4: what is left, at least a second for `return`; `notify` may have run out. */
function secondsUntil(at: number, now: number, mode: "return" | "notify"): number {
  const seconds = Math.floor((at - now) / 1000);
  return mode === "return" ? Math.max(1, seconds) : seconds;
}

/** The address as it may be written to this host; undefined when it cannot be. */
function wireAddress(address: string, hasUtf8: boolean): string | undefined {
  if (ASCII.test(address)) return address;
  const mailbox = parseMailbox(address, { isInternational: true });
  if (!mailbox.ok) return undefined;
  if (hasUtf8) return address;
  // U-labels have A-labels; a local part beyond ASCII has nothing to fall back on.
  return needsSmtpUtf8(mailbox.value) ? undefined : formatMailbox(mailbox.value);
}

function lacks(
  extension: Extract<Cause, { kind: "unsupported" }>["extension"],
  status: string,
  { host, mayOfferMore }: Offer,
  isWithheld = false,
): Failure {
  const cause: Cause = { kind: "unsupported", extension, ...(isWithheld ? { isWithheld } : {}) };
  if (mayOfferMore && !isWithheld) return { lasting: "temporary", status: `4${status.slice(1)}`, cause, host };
  return { lasting: "permanent", status, cause, host };
}

/** How many recipients, and how many of their domains, one transaction may have (RFC 9422, and our own setting). */
export interface RecipientLimits {
  readonly recipients: number;
  readonly domains: number;
}

/** The first recipients that fit one transaction, as indices; at least one. */
export function firstBatch(
  envelopes: readonly Envelope[],
  waiting: readonly number[],
  limits: RecipientLimits,
): number[] {
  const batch: number[] = [];
  const domains = new Set<string>();
  for (const index of waiting) {
    const envelope = envelopes[index];
    if (envelope === undefined) continue;
    if (batch.length >= limits.recipients) break;
    const { domain } = splitAddress(envelope.recipient);
    if (!domains.has(domain) && domains.size >= limits.domains) continue;
    domains.add(domain);
    batch.push(index);
  }
  return batch;
}
