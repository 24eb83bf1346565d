import type { SettingPath } from "../config/config.ts";
import type { TableOrList } from "../config/kinds.ts";
import { tableContent, type Found, type TableContent } from "./content.ts";
import type { BackendHealth } from "./keyed-backend.ts";
import { foldKey } from "./pattern.ts";
import { readContent } from "./read-content.ts";
import type { InlineSource, TablesSettings, TextSource } from "./settings.ts";
import { isBackendSource } from "./backend-source.ts";
import type { Table, TableAnswer, TableAsk, TableEntry } from "./table.ts";

/** What `tables` and inline lists become: tables by name. */
export type Tables = ReadonlyMap<string, Table>;

/** Where a file's text comes from; `file.io.ts` watches the real ones. */
export interface TableFile {
  /** The text in force, and its version: a number that rises with each change. `failed` when there never was one. */
  current(): Promise<
    | {
        readonly ok: true;
        readonly text: string;
        readonly version: number;
        /** When it was changed, where that is known. */
        readonly changedAt?: number | undefined;
      }
    | { readonly ok: false; readonly text: string }
  >;
}

/** Something worth telling the operator about a table: a new version that is broken, and what stays in force. */
export interface TableFinding {
  readonly table: string;
  readonly text: string;
}

/** Where a value of the settings was written: `posthorn.yaml:12:5`. */
export type WhereIs = (path: SettingPath) => string;

/** Tables of the settings but for those that a backend answers (`openTable`); `fileOf` is asked once for each file. */
export function createTables(
  settings: TablesSettings,
  fileOf: (table: string, path: string) => TableFile,
  onFinding: (finding: TableFinding) => void,
  whereIs?: WhereIs,
): Tables {
  return new Map(
    Object.entries(settings).flatMap(([name, source]): [string, Table][] => {
      if (isBackendSource(source)) return [];
      const table =
        source.kind === "file"
          ? fileTable(name, source, fileOf(name, source.file), onFinding)
          : inlineTable(name, source, whereIs);
      return [[name, table]];
    }),
  );
}

/** A list or a map written in the settings; where they have it, or (without `whereIs`) only its name. */
export function inlineTable(name: string, source: InlineSource, whereIs?: WhereIs): Table {
  const where = (...path: SettingPath): string => whereIs?.(["tables", name, source.kind, ...path]) ?? name;
  const entries: TableEntry[] =
    source.kind === "list"
      ? source.items.map((key, at) => ({ key, value: undefined, where: where(at) }))
      : Object.entries(source.entries).map(([key, value]) => ({ key, value, where: where(key) }));
  const { content } = tableContent(entries);
  return tableOf(
    name,
    () => Promise.resolve(content),
    () => ({ state: "up", text: `${source.kind} in the settings`, entries: entries.length }),
  );
}

/** The table that a `tableOrList()` setting means. Undefined when it names one that the settings do not have. */
export function tableFor(tables: Tables, setting: TableOrList, name: string): Table | undefined {
  return setting.kind === "table"
    ? tables.get(setting.name)
    : inlineTable(name, { kind: "list", items: setting.items });
}

function fileTable(
  name: string,
  { file: path, syntax }: TextSource,
  file: TableFile,
  onFinding: (finding: TableFinding) => void,
): Table {
  let content: TableContent | undefined;
  let version = -1;
  let failure = "";
  let changedAt: number | undefined;
  let reading: Promise<void> | undefined;
  const read = async (text: string): Promise<void> => {
    const next = await readContent(path, text, syntax);
    if (next.problems.length === 0) {
      failure = "";
      content = next.content;
      return;
    }
    const [first] = next.problems;
    failure = first === undefined ? path : `${path}:${first.line}: ${first.text}`;
    onFinding({
      table: name,
      text: `${failure}${content === undefined ? "; lookups fail until it is repaired" : "; the version before stays in force"}`,
    });
  };
  const current = async (): Promise<TableContent | string> => {
    const now = await file.current();
    if (!now.ok) return content ?? now.text;
    if (now.version !== version) {
      version = now.version;
      ({ changedAt } = now);
      reading = read(now.text);
    }
    await reading;
    return content ?? failure;
  };
  return tableOf(name, current, () => ({
    state: content !== undefined ? "up" : failure === "" ? "untried" : "down",
    text: failure === "" ? path : `${failure}${content === undefined ? "" : "; the version before is in force"}`,
    entries: content?.entries.length,
    changedAt,
  }));
}

/** `ask` gives the content in force, or a text that says why there is none. */
function tableOf(
  name: string,
  ask: () => Promise<TableContent | string>,
  health: () => Pick<BackendHealth, "state" | "text" | "entries" | "changedAt">,
): Table {
  let queries = 0;
  let failures = 0;
  const answer = async <Value>(find: (content: TableContent) => TableAnswer<Value>): Promise<TableAnswer<Value>> => {
    const content = await ask();
    const found: TableAnswer<Value> = typeof content === "string" ? { kind: "failed", text: content } : find(content);
    queries++;
    if (found.kind === "failed") failures++;
    return found;
  };
  const membership = (
    key: string,
    asked: TableAsk | undefined,
    find: (content: TableContent) => { readonly is: boolean; readonly where: string } | undefined,
  ): Promise<TableAnswer<boolean>> =>
    answer((content) => {
      const found = find(content);
      asked?.onStep?.({
        key: foldKey(key),
        answer:
          found === undefined
            ? { kind: "none" }
            : { kind: "found", value: found.is ? "yes" : "no", where: found.where },
      });
      return found === undefined ? { kind: "none" } : { kind: "found", value: found.is, where: found.where };
    });
  return {
    name,
    async lookup(key, asked): Promise<TableAnswer> {
      const found = await answer((content) => textOf(content.lookup(key, asked?.service === "credentials")));
      asked?.onStep?.({ key: foldKey(key), answer: found });
      return found;
    },
    async exact(key, asked): Promise<TableAnswer> {
      const found = await answer((content) => textOf(content.exact(key)));
      asked?.onStep?.({ key: foldKey(key), answer: found });
      return found;
    },
    entries: () => answer((content) => ({ kind: "found", value: content.entries, where: name })),
    has: (key, asked) => membership(key, asked, (content) => content.has(key)),
    hasExact: (key, asked) =>
      membership(key, asked, (content) => {
        const found = content.exact(key);
        return found === undefined ? undefined : { is: true, where: found.where };
      }),
    health: () => ({ ...health(), queries, failures }),
  };
}

function textOf(found: Found | undefined): TableAnswer {
  if (found === undefined) return { kind: "none" };
  return found.failure === undefined
    ? { kind: "found", value: found.value, where: found.where }
    : { kind: "failed", text: `${found.where}: ${found.failure}` };
}
