import { assert } from "../../foundation/assert.ts";

/**
 * Writing header fields: whatever a value holds, one field comes out and nothing else (no header injection), in lines
 * of 78 characters where there is a place to fold, never above 998 (RFC 5322 section 2.1.1).
 */
const WISHED_LINE = 78;
const MAX_LINE = 998;
/** Room for a value that holds no white space at all, behind a blank, in octets. */
const MAX_WORD = 900;
const NAME = /^[\x21-\x39\x3b-\x7e]{1,76}$/;
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g;

/** `Name: value` with CRLF, folded. Runs of control characters in the value, line ends among them, become one space. */
export function formatField(name: string, value: string): string {
  assert(NAME.test(name), "field names are ours, and made of printable ASCII");
  return `${fold(`${name}: ${sanitiseText(value).trim()}`)}\r\n`;
}

/** Text from anywhere, fit to stand inside a field: no controls, no lone surrogates. */
export function sanitiseText(text: string): string {
  return text.replace(CONTROLS, " ").toWellFormed();
}

/** A word from a peer, fit for a structured field: printable ASCII of a domain, a literal or an id; the rest is `?`. */
export function sanitiseWord(text: string, maxLength = 255): string {
  return text.slice(0, maxLength).replace(/[^A-Za-z0-9._:[\]/=+-]/g, "?");
}

/**
 * Folds one logical line at its blanks, so that unfolding gives it back (RFC 5322 section 2.2.3). A word longer than
 * any line may be is cut: there is no way to keep it.
 */
export function fold(line: string): string {
  if (line.length <= WISHED_LINE && Buffer.byteLength(line) <= MAX_LINE) return line;
  const words = line.match(/[ \t]*[^ \t]+/g) ?? [];
  let text = "";
  let lineLength = 0;
  for (const word of words.flatMap(cutLong)) {
    // A line of blanks alone would end the header for old readers, so a fold goes in front of a word's own blank only.
    const mayFold = text !== "" && (word.startsWith(" ") || word.startsWith("\t"));
    if (mayFold && lineLength + word.length > WISHED_LINE) {
      text += "\r\n";
      lineLength = 0;
    }
    text += word;
    lineLength += word.length;
  }
  return text;
}

/** Removes the folds; blanks stay (RFC 5322 section 2.2.3). */
export function unfold(text: string): string {
  return text.replace(/\r?\n(?=[ \t])/g, "").replace(/\r?\n$/, "");
}

function cutLong(word: string): string[] {
  if (Buffer.byteLength(word) <= MAX_WORD) return [word];
  const pieces: string[] = [];
  let piece = "";
  for (const character of word) {
    if (Buffer.byteLength(piece) + 4 > MAX_WORD) {
      pieces.push(piece);
      piece = " ";
    }
    piece += character;
  }
  return [...pieces, piece];
}
