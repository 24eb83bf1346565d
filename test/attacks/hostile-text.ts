/**
 * Text that acts on terminals, logs and headers, and what finds it again: an escape sequence that sets a terminal's title, a
 * C1 control, line ends of every kind, marks that reorder text, and what would be a line or a header field of its own.
 */

/** Without line ends: goes wherever a line of a protocol goes. */
export const ACTING = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\u2028\u202e\u2066\u200f\x08\x7f";

/** With line ends, and behind them what is to look like a line of ours. */
export const MULTI_LINE = `${ACTING}\r\nInjected: yes\nInjected: again\r${ACTING}`;

/** As xtext (RFC 3461 section 4), octet by octet of its UTF-8. */
export function asXtext(text: string): string {
  return Array.from(Buffer.from(text, "utf8"), (octet) => `+${octet.toString(16).toUpperCase().padStart(2, "0")}`).join(
    "",
  );
}

/** Everything that a terminal or a reader of lines acts on, but for line feeds. */
const ACTS = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

/** What is wrong with an output that people and programs read line by line; undefined: nothing. */
export function hostileIn(output: string, allowed: { readonly tabs?: boolean } = {}): string | undefined {
  const text = allowed.tabs === true ? output.replaceAll("\t", " ") : output;
  const at = text.search(ACTS);
  if (at >= 0) return `acts on terminals: ${JSON.stringify(text.slice(Math.max(0, at - 200), at + 60))}`;
  const line = /^ *Injected:.*$/m.exec(text);
  if (line !== null)
    return `a line of its own: ${JSON.stringify(text.slice(Math.max(0, line.index - 300), line.index + 40))}`;
  return undefined;
}
