/**
 * Header fields as they stand in a message, for signatures over them: nothing is decoded, nothing mended. Text is Latin-1, one
 * character an octet.
 */
export interface RawField {
  /** Lower case; empty for a line that is no field. */
  readonly name: string;
  /** All of it, folds included, without the CRLF at its end. */
  readonly text: string;
}

/**
 * Fields of a header section, in order. A line feed alone ends a line too: binary mail may have some, and readers behind us take
 * what follows for a field.
 */
export function rawFields(header: Buffer | string): readonly RawField[] {
  const text = typeof header === "string" ? header : header.toString("latin1");
  const fields: RawField[] = [];
  for (let at = 0; at < text.length;) {
    let end = text.indexOf("\n", at);
    while (end >= 0 && (text[end + 1] === " " || text[end + 1] === "\t")) end = text.indexOf("\n", end + 1);
    const next = end < 0 ? text.length : end + 1;
    const line = text.slice(at, end < 0 ? text.length : end);
    const field = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (field !== "") fields.push({ name: nameOf(field), text: field });
    at = next;
  }
  return fields;
}

/** What stands behind the colon, folds included. */
export function rawValue(field: RawField): string {
  return field.text.slice(field.text.indexOf(":") + 1);
}

function nameOf(field: string): string {
  const colon = field.indexOf(":");
  return colon < 0 ? "" : field.slice(0, colon).trimEnd().toLowerCase();
}
