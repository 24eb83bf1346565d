import type { RawField } from "./raw-fields.ts";

/** How a message is put into one form before it is hashed, so that harmless changes on its way do no harm (RFC 6376 section 3.4). */
export type Canonicalization = "simple" | "relaxed";

/** A field without the CRLF that follows it. */
export function canonicalField(field: RawField, how: Canonicalization): string {
  return how === "simple" ? field.text : relaxedField(field.text);
}

/** RFC 6376 section 3.4.2: name in lower case, unfolded, blanks reduced to one, none at the ends and around the colon. */
export function relaxedField(text: string): string {
  const colon = text.indexOf(":");
  if (colon < 0) return relaxedBlanks(text);
  return `${text.slice(0, colon).trim().toLowerCase()}:${relaxedBlanks(text.slice(colon + 1))}`;
}

function relaxedBlanks(text: string): string {
  const line = text.includes("\r\n") ? text.replaceAll("\r\n", "") : text;
  return line.replace(BLANKS, " ").replace(/^ /, "").replace(/ $/, "");
}

/** Runs that are not one space already: the pattern is met seldom, and never walks over the same blanks twice. */
const BLANKS = /[ \t]{2,}|\t/g;

/** RFC 6376 section 3.4.4, but for empty lines at the end. `text` ends neither in a blank nor in a CR. */
export function relaxedLines(text: string): string {
  const reduced = text.replace(BLANKS, " ");
  return reduced.includes(" \r\n") ? reduced.replaceAll(" \r\n", "\r\n") : reduced;
}

/** The fields that a signature covers, in the order of its list: of a name given more than once, the last ones first (5.4.2). */
export function selectFields(fields: readonly RawField[], names: readonly string[]): readonly RawField[] {
  const waiting = new Map<string, RawField[]>();
  for (const name of names) waiting.set(name.toLowerCase(), []);
  for (const field of fields) waiting.get(field.name)?.push(field);
  return names.flatMap((name) => waiting.get(name.toLowerCase())?.pop() ?? []);
}
