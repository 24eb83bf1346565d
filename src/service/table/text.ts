import { logicalLines } from "./logical-lines.ts";

/** One entry of a table file, with its line. A list's entries have no value. */
export interface TableLine {
  readonly line: number;
  readonly key: string;
  readonly value: string | undefined;
}

export interface TableText {
  readonly entries: readonly TableLine[];
  readonly problems: readonly { readonly line: number; readonly text: string }[];
}

/**
 * The text of a table file: a key, white space, its value on each line, or only a key. A `#` at the beginning of a line
 * or behind white space begins a comment when the line is a list's; in a value it is part of the value, for passwords and
 * reply texts hold it. A line that begins with white space continues the one before. A key with spaces in it, or a `#` in
 * front, is written in double quotes; `\"` and `\\` stand for themselves there. A colon directly behind the key is
 * allowed, as alias files have it.
 */
export function parseTableText(text: string): TableText {
  const entries: TableLine[] = [];
  const { lines, problems: broken } = logicalLines(text);
  const problems: { line: number; text: string }[] = [...broken];
  for (const { line, text: content } of lines) {
    const parsed = parseLine(content);
    if (typeof parsed === "string") problems.push({ line, text: parsed });
    else entries.push({ line, ...parsed });
  }
  return { entries, problems };
}

function parseLine(content: string): { key: string; value: string | undefined } | string {
  const quoted = /^(!?)"((?:[^"\\]|\\.)*)"(?=[\s:]|$):?/.exec(content);
  if (content.replace(/^!/, "").startsWith('"') && quoted === null && !content.includes('"@'))
    return "the quote before the key is not closed";
  const bare = quoted === null ? /^("(?:[^"\\]|\\.)*"@\S*|\S+?)(?::(?=\s|$))?(?=\s|$)/.exec(content) : null;
  const key = quoted === null ? (bare?.[1] ?? "") : `${quoted[1] ?? ""}${(quoted[2] ?? "").replace(/\\(.)/g, "$1")}`;
  const rest = content.slice((quoted ?? bare)?.[0].length ?? 0).trim();
  if (key === "" || key === "!") return "has no key";
  return { key, value: rest === "" || rest.startsWith("#") ? undefined : rest };
}
