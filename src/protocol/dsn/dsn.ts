import { isUtf8 } from "node:buffer";
import { assert } from "../../foundation/assert.ts";
import { plainestAddress } from "../address/mailbox.ts";
import { formatDateTime } from "../message/date-time.ts";
import { encodeWords } from "../message/encoded-word.ts";
import { formatField } from "../message/field.ts";
import { formatDeliveryStatus, type DeliveryReport } from "./delivery-status.ts";
import { hasLongLine, isAscii, isLineText, quotedPrintable } from "./encoding.ts";

/**
 * Delivery status notifications as messages: multipart/report (RFC 6522) of a text for people, the report for machines
 * (RFC 3464), and the message or its header. Internationalised ones use the types of RFC 6533.
 *
 * What comes out has CRLF line ends only, no line above 998 octets, and a header in ASCII unless the addressee's own
 * address is beyond it. It is 7bit wherever what it returns is; message/rfc822 may not be encoded (RFC 2046 section 5.2.1),
 * so 8bit content makes an 8bit notice, and says so. `lesser-notice.ts` makes a lesser one for hosts that do not take it.
 */
export interface Dsn {
  /** Our name; the notice is from MAILER-DAEMON there. */
  readonly hostname: string;
  readonly to: string;
  readonly subject: string;
  readonly at: number;
  /** With angle brackets. */
  readonly messageId: string;
  /** The Message-ID of the message it is about, if it has one that is well-formed. */
  readonly inReplyTo?: string | undefined;
  /** For people: lines without line ends. */
  readonly text: readonly string[];
  readonly report: DeliveryReport;
  readonly returned?: Returned | undefined;
  /** A word that makes boundaries unlike those of others: the notice's own id. */
  readonly boundaryWord: string;
}

/** What of the message is returned; `bytes` with CRLF line ends. */
export interface Returned {
  readonly kind: "message" | "header";
  readonly bytes: Buffer;
}

export interface BuiltDsn {
  readonly bytes: Buffer;
  readonly is8bit: boolean;
  /** The addressee's address is beyond ASCII: the next host must offer SMTPUTF8. */
  readonly isInternational: boolean;
}

export interface Part {
  readonly type: string;
  readonly description: string;
  readonly encoding: "7bit" | "8bit" | "quoted-printable";
  readonly body: Buffer;
}

export function buildDsn(dsn: Dsn): BuiltDsn {
  const to = plainestAddress(dsn.to);
  const isInternational = !isAscii(Buffer.from(to));
  const parts = [textPart(dsn.text), statusPart(dsn.report)];
  if (dsn.returned !== undefined) parts.push(returnedPart(dsn.returned, isInternational));
  const boundary = boundaryFor(dsn.boundaryWord, parts);
  const hasEightBitParts = parts.some((part) => part.encoding === "8bit");
  const fields = [
    formatField("Date", formatDateTime(dsn.at, 0)),
    formatField("From", `Mail delivery system <MAILER-DAEMON@${dsn.hostname}>`),
    formatField("To", `<${to}>`),
    formatField("Subject", encodeWords(dsn.subject)),
    formatField("Message-ID", dsn.messageId),
    // RFC 3834 section 5: the answer of a program to one message.
    formatField("Auto-Submitted", "auto-replied"),
    ...referenceFields(dsn.inReplyTo),
    formatField("MIME-Version", "1.0"),
    formatField("Content-Type", `multipart/report; report-type=delivery-status; boundary="${boundary}"`),
    ...(hasEightBitParts ? [formatField("Content-Transfer-Encoding", "8bit")] : []),
  ];
  const chunks: Buffer[] = [Buffer.from(`${fields.join("")}\r\nThis is a MIME message.\r\n`)];
  for (const part of parts) chunks.push(Buffer.from(`\r\n--${boundary}\r\n${partHeader(part)}\r\n`), part.body);
  chunks.push(Buffer.from(`\r\n--${boundary}--\r\n`));
  const bytes = Buffer.concat(chunks);
  return { bytes, is8bit: !isAscii(bytes), isInternational };
}

function referenceFields(inReplyTo: string | undefined): readonly string[] {
  if (inReplyTo === undefined || !/^<[\x21-\x3b\x3d\x3f-\x7e]{1,400}>$/.test(inReplyTo)) return [];
  return [formatField("In-Reply-To", inReplyTo), formatField("References", inReplyTo)];
}

function textPart(lines: readonly string[]): Part {
  const body = Buffer.from(lines.map((line) => `${line}\r\n`).join(""));
  const isPlain = isAscii(body) && !hasLongLine(body);
  return {
    type: `text/plain; charset=${isPlain ? "us-ascii" : "utf-8"}`,
    description: "Notification",
    encoding: isPlain ? "7bit" : "quoted-printable",
    body: isPlain ? body : quotedPrintable(body),
  };
}

function statusPart(report: DeliveryReport): Part {
  const body = Buffer.from(formatDeliveryStatus(report));
  // RFC 3464 section 2.1: 7bit and nothing else; RFC 6533 section 3 has the other type.
  return isAscii(body)
    ? { type: "message/delivery-status", description: "Delivery report", encoding: "7bit", body }
    : { type: "message/global-delivery-status", description: "Delivery report", encoding: "8bit", body };
}

export function returnedPart({ kind, bytes }: Returned, isInternational: boolean): Part {
  const headerEnd = bytes.indexOf("\r\n\r\n");
  const header = headerEnd < 0 ? bytes : bytes.subarray(0, headerEnd + 2);
  const encoding = isAscii(bytes) ? "7bit" : "8bit";
  if (kind === "message") {
    assert(isLineText(bytes) && !hasLongLine(bytes), "binary content and long lines are returned by their header only");
    // RFC 6532 section 3.7: the type for a message whose header is in UTF-8.
    const type = isAscii(header) || !isUtf8(header) ? "message/rfc822" : "message/global";
    return { type, description: "Undelivered message", encoding, body: bytes };
  }
  const description = "Undelivered message's header";
  const isShort = isLineText(bytes) && !hasLongLine(bytes);
  if (isShort && isAscii(bytes))
    return { type: "text/rfc822-headers; charset=us-ascii", description, encoding: "7bit", body: bytes };
  // RFC 6533 section 4: the type for a header in UTF-8, for those who know it.
  if (isShort && isInternational && isUtf8(bytes))
    return { type: "message/global-headers", description, encoding: "8bit", body: bytes };
  // RFC 6522 section 4 allows this encoding where a header is not plain; it asks nothing of the way back.
  const charset = isAscii(bytes) ? "us-ascii" : isUtf8(bytes) ? "utf-8" : "unknown-8bit";
  const type = `text/rfc822-headers; charset=${charset}`;
  return { type, description, encoding: "quoted-printable", body: quotedPrintable(bytes) };
}

export function partHeader(part: Part): string {
  return (
    formatField("Content-Description", part.description) +
    formatField("Content-Type", part.type) +
    (part.encoding === "7bit" ? "" : formatField("Content-Transfer-Encoding", part.encoding))
  );
}

/** A boundary that begins no line of any part (RFC 2046 section 5.1.1). */
function boundaryFor(word: string, parts: readonly Part[]): string {
  assert(/^[A-Za-z0-9]{1,40}$/.test(word), "a boundary is made of our own ids");
  for (let n = 0; ; n++) {
    const boundary = `=_${word}_${n}`;
    if (parts.every((part) => !part.body.includes(`--${boundary}`))) return boundary;
  }
}
