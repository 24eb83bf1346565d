export interface LogicalLines {
  /** Each with the line that it begins on. */
  readonly lines: readonly { readonly line: number; readonly text: string }[];
  readonly problems: readonly { readonly line: number; readonly text: string }[];
}

/**
 * The lines of a table's file: without empty ones and comments, each with what continues it (lines that begin with white
 * space). Bytes that no text has are told.
 */
export function logicalLines(text: string): LogicalLines {
  const problems: { line: number; text: string }[] = [];
  const logical: { line: number; text: string }[] = [];
  // A mark of byte order is what some editors put first; it is no part of the first key.
  for (const [at, raw] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    if (/^\s*(#|$)/.test(raw)) continue;
    if (!/^\s/.test(raw)) {
      logical.push({ line: at + 1, text: raw.trimEnd() });
      continue;
    }
    const before = logical.at(-1);
    if (before === undefined)
      problems.push({ line: at + 1, text: "begins with white space, but there is no line to continue" });
    else logical[logical.length - 1] = { line: before.line, text: `${before.text} ${raw.trim()}` };
  }
  const lines = logical.filter(({ line, text: content }) => {
    const isText = !/[\u0000-\u0008\u000b-\u001f\u007f\ufffd]/.test(content);
    if (!isText)
      problems.push({ line, text: "holds control characters or bytes that are no UTF-8: is this a text file?" });
    return isText;
  });
  return { lines, problems };
}
