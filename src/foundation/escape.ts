// Everything a terminal or a log reader could act on: C0, DEL, C1, line separators, and the marks that reorder text.
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\\]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Nearly all text is this, and asking costs a tenth of looking for what is not. */
const ORDINARY = /^[\x20-\x5b\x5d-\x7e]*$/;

/**
 * Text from a peer, made harmless for a log line or a terminal: control characters, direction marks, lone surrogates
 * and the backslash itself become `\xNN`, `\uNNNN` or `\\`. Reversible, and the identity on ordinary text.
 */
export function escapeControls(text: string): string {
  if (isOrdinary(text)) return text;
  return text.replace(UNSAFE, (character) => {
    if (character === "\\") return "\\\\";
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Printable ASCII without the backslash: `escapeControls` leaves it, and each character takes one column. */
export function isOrdinary(text: string): boolean {
  return ORDINARY.test(text);
}

/** What JSON leaves as it is but a terminal or a line reader acts on. In JSON these occur only inside strings. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A value as JSON on one line, which no terminal acts on. Readers of JSON get back exactly the value. */
export function harmlessJson(value: unknown, replacer?: (name: string, value: unknown) => unknown): string {
  return JSON.stringify(value, replacer).replace(
    UNSAFE_IN_JSON,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
