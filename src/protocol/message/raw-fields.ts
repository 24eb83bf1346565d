/**
 * The fields of a header section as bytes, for those who must not change a byte of what they do not mean to change. The
 * section is as FilterMail has it: each field ends in CRLF, and no empty line stands behind the last.
 */
export interface RawField {
  /** As it was written. */
  readonly name: string;
  /** The whole field, its final CRLF included. */
  readonly raw: Buffer;
  /** Where in `raw` the value begins: right behind the colon, so that a blank is part of it. */
  readonly valueAt: number;
}

const LF = 10;
const COLON = 58;
const SPACE = 32;
const TAB = 9;

/** What is no field (no colon in its first line) has no name and counts as a field of its own, so that no byte is lost. */
export function rawFieldsOf(header: Buffer): readonly RawField[] {
  const fields: RawField[] = [];
  for (let at = 0; at < header.length;) {
    const end = endOfField(header, at);
    fields.push(fieldOf(header.subarray(at, end)));
    at = end;
  }
  return fields;
}

export function fieldOf(raw: Buffer): RawField {
  const colon = raw.indexOf(COLON);
  const lf = raw.indexOf(LF);
  if (colon < 0 || (lf >= 0 && colon > lf)) return { name: "", raw, valueAt: 0 };
  return { name: raw.toString("latin1", 0, colon).trimEnd(), raw, valueAt: colon + 1 };
}

/** The value as text without the final CRLF; folds and the first blank stay. */
export function rawValue({ raw, valueAt }: RawField, encoding: "utf8" | "latin1" = "utf8"): string {
  return raw.toString(encoding, valueAt).replace(/\r?\n$/, "");
}

/** One line, as people read it. */
export function unfoldedValue(field: RawField): string {
  return rawValue(field)
    .replace(/\r?\n(?=[ \t])/g, "")
    .trim();
}

function endOfField(header: Buffer, at: number): number {
  for (let from = at; ;) {
    const lf = header.indexOf(LF, from);
    if (lf < 0) return header.length;
    const next = header[lf + 1];
    if (next !== SPACE && next !== TAB) return lf + 1;
    from = lf + 1;
  }
}
