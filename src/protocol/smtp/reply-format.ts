import type { Reply } from "./reply.ts";

/** RFC 5321 section 4.5.3.1.5: 512 octets, code and CRLF included. */
const MAX_LINE = 512;
/** No reply of ours is longer; what tables or filters want to say beyond it is left out. */
const MAX_LINES = 128;
const HARMLESS = /^[\x20-\x7e]*$/;
const NOT_ASCII = /[^\x00-\x7f]/;

/**
 * The bytes of a reply: each line at most 512 octets (longer text goes on in a further line), each with the enhanced
 * status where there is one (RFC 2034 section 4). Whatever a text holds, no CR, LF or other control character gets out.
 * `isInternational`: the client asked for SMTPUTF8 (RFC 6531 section 3.7.4.2); otherwise text beyond ASCII becomes `?`.
 */
export function formatReply(reply: Reply, isInternational = false): Buffer {
  return prepared.get(reply) ?? formatted(reply, isInternational);
}

/** Gives it back, with its bytes made ready: for replies that are said again and again, of harmless ASCII. */
export function prepareReply(reply: Reply): Reply {
  if (reply.lines.every((line) => HARMLESS.test(line))) prepared.set(reply, formatted(reply, false));
  return reply;
}

const prepared = new WeakMap<Reply, Buffer>();

function formatted(reply: Reply, isInternational: boolean): Buffer {
  const status = reply.status === undefined ? "" : `${reply.status} `;
  const only = reply.lines[0] ?? "";
  // Nearly every reply: one short line of ASCII.
  if (reply.lines.length <= 1 && only.length <= MAX_LINE - 24 && HARMLESS.test(only))
    return Buffer.from(`${reply.code} ${status}${only}\r\n`, "latin1");

  const room = MAX_LINE - 6 - status.length;
  const lines = reply.lines.slice(0, MAX_LINES).flatMap((line) => fold(sanitise(line, isInternational), room));
  const last = Math.min(lines.length, MAX_LINES) - 1;
  let text = "";
  for (let at = 0; at <= last; at++) text += `${reply.code}${at === last ? " " : "-"}${status}${lines[at] ?? ""}\r\n`;
  return Buffer.from(text, "utf8");
}

function sanitise(text: string, isInternational: boolean): string {
  if (HARMLESS.test(text)) return text;
  const harmless = text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ").toWellFormed();
  return isInternational ? harmless : harmless.replace(/[^\x20-\x7e]+/g, "?");
}

/** Pieces of at most `room` bytes, cut behind a space where one is near. */
function fold(text: string, room: number): string[] {
  if (text.length <= room && (!NOT_ASCII.test(text) || Buffer.byteLength(text) <= room)) return [text];
  const pieces: string[] = [];
  let piece = "";
  let bytes = 0;
  for (const character of text) {
    const width = Buffer.byteLength(character);
    if (bytes + width > room) {
      const space = piece.lastIndexOf(" ");
      const cut = space > piece.length / 2 ? space + 1 : piece.length;
      pieces.push(piece.slice(0, cut));
      piece = piece.slice(cut);
      bytes = Buffer.byteLength(piece);
    }
    piece += character;
    bytes += width;
  }
  pieces.push(piece);
  return pieces;
}
