import type { Clock } from "../../foundation/clock.ts";
import { withLimit } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import { firstExact } from "./first-exact.ts";
import type { AnswerAhead, FirstAnswer } from "./keyed-backend.ts";
import type { AliasAhead, Table, TableAnswer, TableAsk, TableEntry, TableService } from "./table.ts";

/** Tables that another process has open, as calls of plain data. Never rejects but when that process is gone. */
export interface TablePort {
  lookupTable(
    name: string,
    question: TableQuestion,
    service: TableService | undefined,
  ): Promise<TableAnswer<string | boolean> | FirstAnswer>;
  tableEntries(name: string, service: TableService | undefined): Promise<TableAnswer<readonly TableEntry[]>>;
}

export type TableQuestion =
  | { readonly verb: "lookup" | "exact" | "has" | "hasExact"; readonly key: string }
  /** All keys travel at once, and back with the answer comes what will be asked next. */
  | { readonly verb: "firstExact"; readonly keys: readonly string[]; readonly ahead?: AliasAhead };

/** A lookup's own deadline is kept where the table is; this one is for a process that hangs. */
const SPARE_MS = 2000;
/** Beyond as many unanswered questions of this process, another one fails at once. */
const MOST_IN_FLIGHT = 10_000;

/**
 * A table in another process. When that one is gone, or does not answer, lookups fail: "could not find out" is never "no".
 */
export function remoteTable(
  name: string,
  port: TablePort,
  options: { readonly clock: Clock; readonly timeoutMs: number },
): Table {
  let inFlight = 0;
  const what = `table ${name}`;
  const ask = async <Answer>(
    question: () => Promise<Answer>,
    signal: AbortSignal | undefined,
  ): Promise<Answer | { readonly kind: "failed"; readonly text: string }> => {
    if (inFlight >= MOST_IN_FLIGHT)
      return { kind: "failed", text: `table ${name}: too many lookups wait for an answer` };
    inFlight++;
    try {
      return await withLimit(options.clock, options.timeoutMs + SPARE_MS, what, question, signal);
    } catch (thrown) {
      const text = signal?.aborted === true ? "given up" : messageOf(thrown);
      return { kind: "failed", text: `table ${name}: ${text}` };
    } finally {
      inFlight--;
    }
  };
  const text = (verb: "lookup" | "exact", key: string, asked: TableAsk | undefined): Promise<TableAnswer> =>
    // The other end answers these two with text, the next two with a truth, and `firstExact` with the key, too.
    ask(() => port.lookupTable(name, { verb, key }, asked?.service) as Promise<TableAnswer>, asked?.signal);
  const truth = (verb: "has" | "hasExact", key: string, asked: TableAsk | undefined): Promise<TableAnswer<boolean>> =>
    ask(() => port.lookupTable(name, { verb, key }, asked?.service) as Promise<TableAnswer<boolean>>, asked?.signal);
  return {
    name,
    lookup: (key, asked) => text("lookup", key, asked),
    exact: (key, asked) => text("exact", key, asked),
    firstExact: (keys, asked) =>
      ask(
        () =>
          port.lookupTable(
            name,
            { verb: "firstExact", keys, ...(asked?.ahead === undefined ? {} : { ahead: asked.ahead }) },
            asked?.service,
          ) as Promise<FirstAnswer>,
        asked?.signal,
      ),
    has: (key, asked) => truth("has", key, asked),
    hasExact: (key, asked) => truth("hasExact", key, asked),
    entries: (asked) => ask(() => port.tableEntries(name, asked?.service), asked?.signal),
  };
}

/** The keys that whoever asked for an alias asks for next, by what was found under which key: for each question one list. */
export type KeysAhead = (
  ask: AliasAhead,
  found: { readonly key: string; readonly value: string },
) => readonly (readonly string[])[];

/**
 * The other end. `isSecret`: tables whose values nobody else may see; whether a key is there may be known. `keysAhead` saves
 * the asker a second way here.
 */
export function tablePort(
  tables: { get(name: string): Table | undefined },
  isSecret: (name: string, service: TableService | undefined) => boolean,
  keysAhead: KeysAhead = () => [],
): TablePort {
  const missing = (name: string) => ({ kind: "failed", text: `there is no table ${name} here` }) as const;
  const secret = (name: string) =>
    ({ kind: "failed", text: `table ${name} holds passwords: its values are not given`, isSecret: true }) as const;
  return {
    async lookupTable(name, question, service) {
      const table = tables.get(name);
      if (table === undefined) return missing(name);
      const asksValue = question.verb !== "has" && question.verb !== "hasExact";
      if (asksValue && isSecret(name, service)) return secret(name);
      if (question.verb === "firstExact") {
        const answer = await firstExact(table, question.keys, { service });
        if (answer.kind !== "found" || question.ahead === undefined) return answer;
        const ahead = await answersAhead(table, keysAhead(question.ahead, answer), service);
        return ahead.length === 0 ? answer : { ...answer, ahead };
      }
      return await table[question.verb](question.key, { service });
    },
    async tableEntries(name, service) {
      const table = tables.get(name);
      if (table?.entries === undefined)
        return table === undefined ? missing(name) : { kind: "failed", text: `table ${name} cannot be gone through` };
      return isSecret(name, service) ? secret(name) : await table.entries({ service });
    },
  };
}

/** What fails is left out: the asker asks for that itself. */
async function answersAhead(
  table: Table,
  groups: readonly (readonly string[])[],
  service: TableService | undefined,
): Promise<readonly AnswerAhead[]> {
  const answers =
    table.each === undefined
      ? await Promise.all(groups.map(async (keys) => ({ keys, answer: await firstExact(table, keys, { service }) })))
      : firstOfEach(groups, await table.each(groups.flat(), { service }));
  return answers.filter(({ answer }) => answer.kind !== "failed");
}

function firstOfEach(groups: readonly (readonly string[])[], answers: readonly TableAnswer[]): readonly AnswerAhead[] {
  let at = 0;
  return groups.map((keys) => {
    const given = answers.slice(at, (at += keys.length));
    const first = given.findIndex(({ kind }) => kind !== "none");
    const answer = given[first];
    const key = keys[first];
    if (answer === undefined || key === undefined) return { keys, answer: { kind: "none" } };
    return { keys, answer: answer.kind === "found" ? { ...answer, key } : answer };
  });
}
