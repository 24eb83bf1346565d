import { parseMailbox } from "../address/mailbox.ts";
import { civilTime, formatDateTime } from "./date-time.ts";
import { encodeWords } from "./encoded-word.ts";
import { formatField, sanitiseText } from "./field.ts";
import type { HeaderSummary } from "./header-scanner.ts";

/**
 * The fields that a submitted message lacks (RFC 6409 section 8): Date, Message-ID, From. For submission only: a relay
 * changes nothing (RFC 5321 section 6.4), and what a signature covers is never touched, for fields are only added.
 */
export interface FieldsToAdd {
  readonly at: number;
  readonly offsetMinutes: number;
  /** Unique for ever on this host. */
  readonly id: string;
  /** Our own name. */
  readonly host: string;
  /** The reverse path, `""` for the null sender. */
  readonly sender: string;
  /** For the From field of a local user. */
  readonly senderName?: string | undefined;
}

/** Zero to three whole fields, to be put in front of the message. */
export function missingFields(header: Pick<HeaderSummary, "values">, add: FieldsToAdd): string {
  let text = "";
  if (!header.values.has("message-id")) text += formatField("Message-ID", newMessageId(add));
  if (!header.values.has("date")) text += formatField("Date", formatDateTime(add.at, add.offsetMinutes));
  if (!header.values.has("from")) text += formatField("From", fromValue(add));
  return text;
}

/** `<20251121025000.ID@host>`: the time makes it unique even where ids begin anew. */
export function newMessageId(add: Pick<FieldsToAdd, "at" | "id" | "host">): string {
  const { year, month, day, hour, minute, second } = civilTime(add.at, 0);
  const stamp = [month, day, hour, minute, second].map((part) => String(part).padStart(2, "0")).join("");
  return `<${year}${stamp}.${add.id}@${add.host}>`;
}

function fromValue(add: FieldsToAdd): string {
  // A From field names somebody who may be written to; with the null sender that is nobody but the host itself.
  const address = parseMailbox(add.sender, { isInternational: true }).ok ? add.sender : `MAILER-DAEMON@${add.host}`;
  if (add.senderName === undefined || add.senderName === "") return address;
  return `${quotedName(add.senderName)} <${address}>`;
}

/** A display name: atoms as they are, other ASCII in quotes (RFC 5322 section 3.4), what is beyond it in encoded words. */
function quotedName(name: string): string {
  if (/[^\x00-\x7f]/.test(name)) return encodeWords(sanitiseText(name));
  return /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`;
}
