import { parseAliasText } from "./alias-text.ts";
import { tableContent, type TableContent } from "./content.ts";
import type { TableSyntax } from "./settings.ts";
import type { TableEntry } from "./table.ts";
import { parseTableText, type TableText } from "./text.ts";

export interface ReadContent {
  readonly content: TableContent;
  /** In the order of their lines. */
  readonly problems: readonly { readonly line: number; readonly text: string }[];
}

/** A table file's text, prepared for lookups; `file` is what its entries are said to be from. */
export async function readContent(file: string, text: string, syntax: TableSyntax = "file"): Promise<ReadContent> {
  // The library of regular expressions is for those who have some.
  if (syntax === "regexp") return (await import("./regexp-content.ts")).regexpContent(file, text);
  const parsed = parseEntries(text, syntax);
  const entries = parsed.entries.map(({ key, value, line }): TableEntry => ({ key, value, where: `${file}:${line}` }));
  const { content, problems } = tableContent(entries);
  const told = problems.map((problem) => ({
    line: Number(problem.where.slice(file.length + 1)),
    text: problem.text,
  }));
  return { content, problems: [...parsed.problems, ...told].sort((a, b) => a.line - b.line) };
}

/** Keys and values as they stand there. */
function parseEntries(text: string, syntax: Exclude<TableSyntax, "regexp">): TableText {
  return syntax === "aliases" ? parseAliasText(text) : parseTableText(text);
}
