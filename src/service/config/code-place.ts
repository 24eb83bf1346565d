import { fileURLToPath } from "node:url";
import type { Place } from "./config.ts";

/** Where an error arose, by its stack: in the settings file at `path`, or in something that it imports. */
export interface CodePlace {
  /** In the settings file itself. */
  readonly place?: Place | undefined;
  /** `/etc/posthorn/names.ts:3:7`, where no line of the settings file has to do with it. */
  readonly elsewhere?: string | undefined;
}

export function codePlaceOf(thrown: unknown, path: string): CodePlace {
  if (!(thrown instanceof Error) || thrown.stack === undefined) return {};
  const [first = "", ...lines] = thrown.stack.split("\n");
  const found: (Place & { readonly in: string })[] = [];
  // Syntax errors stand in the stack's first lines.
  const syntax = /^(\/.*?|file:\/\/.*?):(\d+)$/.exec(first);
  if (syntax !== null) {
    const caret = lines.slice(0, 3).find((line) => /^\s*\^+\s*$/.test(line));
    found.push({ in: pathOf(syntax[1] ?? ""), line: Number(syntax[2]), column: (caret?.indexOf("^") ?? 0) + 1 });
  }
  for (const [, url = "", line, column] of thrown.stack.matchAll(/(file:\/\/[^\s)]+?):(\d+):(\d+)(?=\s|\)|$)/g))
    found.push({ in: pathOf(url), line: Number(line), column: Number(column) });
  const own = found.find((one) => one.in === path);
  if (own !== undefined) return { place: { line: own.line, column: own.column } };
  const [other] = found;
  return other === undefined ? {} : { elsewhere: `${other.in}:${other.line}:${other.column}` };
}

function pathOf(text: string): string {
  return text.startsWith("file:") ? fileURLToPath(text.replace(/[?#].*$/, "")) : text;
}
