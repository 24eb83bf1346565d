import type { Table, TableAnswer } from "../../service/table/table.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { TableSource } from "../../service/table/settings.ts";
import { keyedCandidates, writtenKey } from "../../service/table/keyed-candidates.ts";
import { tellUnexpected, type Answers } from "./answers.ts";

/** Tables that are asked over the network, or of programs: a trial answers for them. */
export function isElsewhere({ kind }: TableSource): boolean {
  return ["postgres", "mysql", "ldap", "redis", "socketmap", "process"].includes(kind);
}

/** The tables of the settings, behind what the trial says of them. */
export function trialTables(sources: Readonly<Record<string, TableSource>>, opened: Tables, answers: Answers): Tables {
  return new Map(
    Object.entries(sources).flatMap(([name, source]) => {
      const own = opened.get(name);
      return own === undefined && !isElsewhere(source)
        ? []
        : [[name, trialTable(name, source.kind, own, answers)] as const];
    }),
  );
}

function trialTable(name: string, kind: string, own: Table | undefined, answers: Answers): Table {
  const where = "the trial";
  const answered = <Value extends string | boolean>(
    keys: readonly string[],
    read: (value: string) => Value,
    ask: (table: Table) => Promise<TableAnswer<Value>>,
  ): Promise<TableAnswer<Value>> => {
    const given = answers.trial.tables[name];
    const entries = new Map(Object.entries(given ?? {}).map(([key, value]) => [writtenKey(key), value]));
    for (const key of keys) {
      const value = entries.get(writtenKey(key));
      if (value !== undefined) return Promise.resolve({ kind: "found", value: read(value), where });
    }
    if (own !== undefined) return ask(own);
    if (given !== undefined) return Promise.resolve({ kind: "none" });
    if (answers.isLenient) return Promise.resolve({ kind: "failed", text: `the table ${name} was not asked` });
    tellUnexpected(answers, `table ${name} (${kind}): ${keys[0] ?? ""}`);
    return Promise.resolve({ kind: "failed", text: `the trial does not say what the table ${name} holds` });
  };
  const same = (value: string): string => value;
  return {
    name,
    lookup: (key, ask) => answered(candidatesOf(key, false), same, (table) => table.lookup(key, ask)),
    exact: (key, ask) => answered([key], same, (table) => table.exact(key, ask)),
    has: (key, ask) =>
      answered(
        candidatesOf(key, true),
        () => true,
        (table) => table.has(key, ask),
      ),
    hasExact: (key, ask) =>
      answered(
        [key],
        () => true,
        (table) => table.hasExact(key, ask),
      ),
    ...(own?.entries === undefined
      ? {}
      : { entries: (ask) => own.entries?.(ask) ?? Promise.resolve({ kind: "none" }) }),
  };
}

function candidatesOf(key: string, isMember: boolean): readonly string[] {
  return keyedCandidates(key, "string", { wildcards: true, isMember, hasFirst: true });
}
