import { fold, sanitiseText } from "../../../protocol/message/field.ts";
import { rawValue, type RawField } from "../../../protocol/message/raw-fields.ts";
import { reply } from "../../../protocol/smtp/reply.ts";
import type { MailEdit, MailFate } from "../filter.ts";

/** What stands behind 550, 451 and the like: a peer's text, on one line that a reply can carry. */
export function replyWords(text: string, otherwise: string): string {
  const words = text
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, MOST_WORDS);
  return words === "" ? otherwise : words;
}

export function refused(text: string): MailFate {
  return { kind: "refuse", reply: reply(550, "5.7.1", text) };
}

export function deferred(text: string): MailFate {
  return { kind: "refuse", reply: reply(451, "4.7.1", text) };
}

/** The field is ours alone: whatever of that name the client sent is taken out. */
export function ownField(name: string, value: string): readonly MailEdit[] {
  return [
    { edit: "remove-field", name },
    { edit: "add-field", name, value: foldedValue(name, value) },
  ];
}

/** One line of text as a field's value, folded where there is a blank. */
export function foldedValue(name: string, value: string): string {
  return fold(`${name}: ${sanitiseText(value).trim()}`).slice(name.length + 2);
}

/** Long enough for a sentence and a link, short enough for a reply's line (RFC 5321 section 4.5.3.1.5). */
const MOST_WORDS = 400;

/** The value of a field that a peer wrote, in the form that edits have: no final CRLF, each fold a CRLF. */
export function valueOf(field: RawField): string {
  return crlf(rawValue(field).replace(/^[ \t]+/, ""));
}

/** Text from a peer as a field's value: folds stay, any other line end becomes a blank, so that one field comes out. */
export function peerValue(text: string): string {
  return crlf(text.trim());
}

function crlf(value: string): string {
  return value
    .split(/\r\n|\r|\n/)
    .map((line, index) => sanitiseLine(index === 0 || /^[ \t]/.test(line) ? line : ` ${line}`))
    .filter((line, index) => index === 0 || line.trim() !== "")
    .join("\r\n");
}

/** A tab stays: it begins most folds. */
function sanitiseLine(line: string): string {
  const blank = line.startsWith("\t") ? "\t" : "";
  return `${blank}${sanitiseText(line.slice(blank.length))}`;
}
