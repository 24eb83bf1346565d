import { partHeader, returnedPart, type Part } from "./dsn.ts";
import { isAscii, quotedPrintable } from "./encoding.ts";

/**
 * A notice that `buildDsn` made, as one in ASCII that a host takes which lacks 8BITMIME, or room; undefined for what is none of
 * ours. A header beyond ASCII, of a notice to such an address, stays, and nothing is made of it for who lacks 8BITMIME. What is
 * too large loses the message that it returns, whose header stays.
 *
 * message/rfc822 may not be encoded (RFC 2046 section 5.2.1): of a message that is returned so the header stays, which
 * RFC 6522 section 3 allows in its place and which may be. The types of RFC 6532 and 6533 may be encoded (RFC 6532
 * section 3.5) and lose nothing.
 */
export function lesserNotice(notice: Buffer, lacking: "8BITMIME" | "SIZE"): Buffer | undefined {
  const end = notice.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const header = notice.toString("latin1", 0, end + 2);
  const boundary = REPORT.exec(header)?.[1];
  if (boundary === undefined) return undefined;
  // The boundary stands in no part: `buildDsn` has seen to that.
  const [preamble = "", ...pieces] = notice.toString("latin1", end + 2).split(`\r\n--${boundary}`);
  const epilogue = pieces.pop() ?? "";
  const plain = [
    header.replace(OUTER_ENCODING, "\r\n") + preamble,
    ...pieces.map((piece) => lesserPiece(piece, lacking)),
    epilogue,
  ];
  const bytes = Buffer.from(plain.join(`\r\n--${boundary}`), "latin1");
  return lacking === "SIZE" || isAscii(bytes) ? bytes : undefined;
}

const REPORT = /^Content-Type: multipart\/report;(?:[^\r]|\r\n[ \t])*?boundary="(=_[A-Za-z0-9]+_\d+)"/m;
const OUTER_ENCODING = /\r\nContent-Transfer-Encoding: 8bit\r\n/;

/** What stands between two boundaries, in latin1: the line end behind the first, the part's header, its body. */
function lesserPiece(piece: string, lacking: "8BITMIME" | "SIZE"): string {
  const bytes = Buffer.from(piece, "latin1");
  const end = piece.indexOf("\r\n\r\n");
  if (end < 0) return piece;
  const header = piece.slice(2, end + 2);
  const body = bytes.subarray(end + 4);
  const type = /^Content-Type: (\S+)\r\n/m.exec(header)?.[1] ?? "";
  const isMessage = type === "message/rfc822" || type === "message/global";
  const isPlain = isAscii(bytes);
  if (isMessage && (lacking === "SIZE" || (!isPlain && type === "message/rfc822")))
    return formatted(returnedPart({ kind: "header", bytes: headerOf(body) }, false));
  if (isPlain || !type.startsWith("message/global")) return piece;
  const description = /^Content-Description: (.*)\r\n/m.exec(header)?.[1] ?? "";
  return formatted({ type, description, encoding: "quoted-printable", body: quotedPrintable(body) });
}

function formatted(part: Part): string {
  return `\r\n${partHeader(part)}\r\n${part.body.toString("latin1")}`;
}

/** With its last line end. */
function headerOf(message: Buffer): Buffer {
  if (message.indexOf("\r\n") === 0) return message.subarray(0, 0);
  const end = message.indexOf("\r\n\r\n");
  return end < 0 ? message : message.subarray(0, end + 2);
}
