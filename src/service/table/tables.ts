import type { SettingPath } from "../config/config.ts";
import type { TableOrList } from "../config/kinds.ts";
import { tableContent, type TableContent } from "./content.ts";
import type { TablesSettings, TableSource } from "./settings.ts";
import type { Table, TableAnswer, TableEntry } from "./table.ts";
import { parseTableText } from "./text.ts";

/** What `tables` and inline lists become: tables by name. */
export type Tables = ReadonlyMap<string, Table>;

/** Where a file's text comes from; `file.io.ts` watches the real ones. */
export interface TableFile {
  /** The text in force, and its version: a number that rises with each change. `failed` when there never was one. */
  current(): Promise<
    | { readonly ok: true; readonly text: string; readonly version: number }
    | { readonly ok: false; readonly text: string }
  >;
}

/** Something worth telling the operator about a table: a new version that is broken, and what stays in force. */
export interface TableFinding {
  readonly table: string;
  readonly text: string;
}

/** What is wrong with a table file, by line. */
export function tableProblems(name: string, text: string): readonly { readonly line: number; readonly text: string }[] {
  return readContent(name, text).problems;
}

function readContent(
  file: string,
  text: string,
): { content: TableContent; problems: readonly { line: number; text: string }[] } {
  const parsed = parseTableText(text);
  const entries = parsed.entries.map((entry): TableEntry => ({
    key: entry.key,
    value: entry.value,
    where: `${file}:${entry.line}`,
  }));
  const { content, problems } = tableContent(entries);
  const told = problems.map((problem) => ({
    line: Number(problem.where.slice(file.length + 1)),
    text: problem.text,
  }));
  return { content, problems: [...parsed.problems, ...told].sort((a, b) => a.line - b.line) };
}

/** Where a value of the settings was written: `posthorn.yaml:12:5`. */
export type WhereIs = (path: SettingPath) => string;

/** Tables of the settings; `fileOf` is asked once for each file. */
export function createTables(
  settings: TablesSettings,
  fileOf: (table: string, path: string) => TableFile,
  onFinding: (finding: TableFinding) => void,
  whereIs?: WhereIs,
): Tables {
  return new Map(
    Object.entries(settings).map(([name, source]) => [
      name,
      source.kind === "file"
        ? fileTable(name, source.file, fileOf(name, source.file), onFinding)
        : inlineTable(name, source, whereIs),
    ]),
  );
}

/** A list or a map written in the settings; where they have it, or (without `whereIs`) only its name. */
export function inlineTable(name: string, source: Exclude<TableSource, { kind: "file" }>, whereIs?: WhereIs): Table {
  const where = (...path: SettingPath): string => whereIs?.(["tables", name, source.kind, ...path]) ?? name;
  const entries: TableEntry[] =
    source.kind === "list"
      ? source.items.map((key, at) => ({ key, value: undefined, where: where(at) }))
      : Object.entries(source.entries).map(([key, value]) => ({ key, value, where: where(key) }));
  const { content } = tableContent(entries);
  return tableOf(name, () => Promise.resolve(content));
}

/** The table that a `tableOrList()` setting means. Undefined when it names one that the settings do not have. */
export function tableFor(tables: Tables, setting: TableOrList, name: string): Table | undefined {
  return setting.kind === "table"
    ? tables.get(setting.name)
    : inlineTable(name, { kind: "list", items: setting.items });
}

function fileTable(name: string, path: string, file: TableFile, onFinding: (finding: TableFinding) => void): Table {
  let content: TableContent | undefined;
  let version = -1;
  let failure = "";
  return tableOf(name, async () => {
    const current = await file.current();
    if (!current.ok) return content ?? current.text;
    if (current.version === version) return content ?? failure;
    version = current.version;
    const next = readContent(path, current.text);
    if (next.problems.length === 0) {
      failure = "";
      content = next.content;
      return content;
    }
    const [first] = next.problems;
    failure = first === undefined ? path : `${path}:${first.line}: ${first.text}`;
    onFinding({
      table: name,
      text: `${failure}${content === undefined ? "; lookups fail until it is repaired" : "; the version before stays in force"}`,
    });
    return content ?? failure;
  });
}

/** `ask` gives the content in force, or a text that says why there is none. */
function tableOf(name: string, ask: () => Promise<TableContent | string>): Table {
  return {
    name,
    async lookup(key): Promise<TableAnswer> {
      const content = await ask();
      if (typeof content === "string") return { kind: "failed", text: content };
      const found = content.lookup(key);
      return found === undefined ? { kind: "none" } : { kind: "found", value: found.value, where: found.where };
    },
    async exact(key): Promise<TableAnswer> {
      const content = await ask();
      if (typeof content === "string") return { kind: "failed", text: content };
      const found = content.exact(key);
      return found === undefined ? { kind: "none" } : { kind: "found", value: found.value, where: found.where };
    },
    async entries(): Promise<TableAnswer<readonly TableEntry[]>> {
      const content = await ask();
      if (typeof content === "string") return { kind: "failed", text: content };
      return { kind: "found", value: content.entries, where: name };
    },
    async has(key): Promise<TableAnswer<boolean>> {
      const content = await ask();
      if (typeof content === "string") return { kind: "failed", text: content };
      const found = content.has(key);
      return found === undefined ? { kind: "none" } : { kind: "found", value: found.is, where: found.where };
    },
  };
}
