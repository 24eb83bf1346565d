import type { Clock } from "../../foundation/clock.ts";
import { DeadlinePassed, withLimit, type Limit } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import { formatDuration } from "../../foundation/units.ts";
import { withoutKey, type BackendAsk, type FirstAnswer, type KeyedBackend } from "./keyed-backend.ts";
import { accountName, keyedCandidates, writtenForms } from "./keyed-candidates.ts";
import type { Table, TableAnswer, TableAsk, TableEntry, TableService } from "./table.ts";

export interface KeyedTableOptions {
  readonly clock: Clock;
  /** For one lookup, with all keys that it asks for. */
  readonly timeoutMs: number;
  /** Whether `user@`, `@domain`, `.domain`, `*` and networks are asked for when the key itself is not there. */
  readonly wildcards: boolean;
  /** Whether `!key` in the backend says no to what less exact keys say; doubles what is asked for. */
  readonly negation?: boolean;
}

/**
 * A table over a backend that knows single keys. Folds keys, asks for wildcards the most exact first, and gives up at
 * its deadline: whatever the backend does, a lookup ends, and what could not be found out is `failed`.
 */
export function keyedTable(name: string, backend: KeyedBackend, options: KeyedTableOptions): Table {
  const failed = (thrown: unknown, given: AbortSignal | undefined): Failed => ({
    kind: "failed",
    text:
      thrown instanceof DeadlinePassed
        ? `table ${name} did not answer within ${formatDuration(thrown.limitMs)}`
        : `table ${name}: ${given?.aborted === true ? "given up" : messageOf(thrown)}`,
  });
  const within = <Answer>(
    given: AbortSignal | undefined,
    work: (limit: Limit) => Promise<Answer>,
  ): Promise<Answer | Failed> =>
    withLimit(options.clock, options.timeoutMs, name, work, given).catch((thrown: unknown) => failed(thrown, given));
  const bounded = <Answer>(
    ask: TableAsk | undefined,
    work: (asked: Asked) => Promise<Answer>,
  ): Promise<Answer | Failed> => {
    const service = ask?.service ?? "string";
    const can = backend.services?.();
    if (can !== undefined && !can.includes(service))
      return Promise.resolve({
        kind: "failed",
        text: `table ${name} answers only ${can.join(", ")}, not ${service}`,
      });
    if (ask?.signal?.aborted === true) return Promise.resolve({ kind: "failed", text: `table ${name}: given up` });
    return within(ask?.signal, (limit) => work(new Asked(service, limit)));
  };

  const find = (
    key: string,
    ask: TableAsk | undefined,
    isMember: boolean,
  ): Promise<TableAnswer<{ readonly key: string; readonly value: string }>> =>
    bounded<TableAnswer<{ readonly key: string; readonly value: string }>>(ask, async (asked) => {
      const { wildcards } = options;
      const hasFirst = backend.first !== undefined;
      const plain = keyedCandidates(key, asked.service, { wildcards, isMember, hasFirst });
      const keys = options.negation === true ? plain.flatMap((each) => [each, `!${each}`]) : plain;
      const found = await firstOf(backend, keys, asked, { onStep: ask?.onStep, isFirstLikely: true });
      return found.kind === "found"
        ? { kind: "found", value: { key: found.key, value: found.value }, where: found.where }
        : found;
    });
  const exact = (key: string, ask: TableAsk | undefined): Promise<TableAnswer> =>
    bounded(ask, async (asked) => {
      const forms = writtenForms(key, asked.service);
      return withoutKey(await firstOf(backend, forms, asked, { onStep: ask?.onStep, isFirstLikely: true }));
    });
  const isNegated = (key: string): boolean => options.negation === true && key.startsWith("!");

  return {
    name,
    async lookup(key, ask): Promise<TableAnswer> {
      const found = await find(key, ask, false);
      if (found.kind !== "found") return found;
      return isNegated(found.value.key)
        ? { kind: "none" }
        : { kind: "found", value: found.value.value, where: found.where };
    },
    exact,
    firstExact(keys, ask): Promise<FirstAnswer> {
      return bounded(ask, async (asked) => {
        const written = keys.flatMap((key) => writtenForms(key, asked.service).map((form) => ({ form, key })));
        const forms = written.map(({ form }) => form);
        const found = await firstOf(backend, forms, asked, { onStep: ask?.onStep, isFirstLikely: false });
        if (found.kind !== "found") return found;
        return { ...found, key: written.find(({ form }) => form === found.key)?.key ?? found.key };
      });
    },
    async has(key, ask): Promise<TableAnswer<boolean>> {
      const found = await find(key, ask, true);
      return found.kind === "found" ? { kind: "found", value: !isNegated(found.value.key), where: found.where } : found;
    },
    async hasExact(key, ask): Promise<TableAnswer<boolean>> {
      const found = await exact(key, ask);
      return found.kind === "found" ? { ...found, value: true } : found;
    },
    ...(backend.each === undefined
      ? {}
      : {
          async each(keys: readonly string[], ask?: TableAsk): Promise<readonly TableAnswer[]> {
            const answers = await bounded<readonly TableAnswer[]>(ask, async (asked) => {
              const forms = keys.map((key) => writtenForms(key, asked.service));
              const found = (await backend.each?.(forms.flat(), asked)) ?? [];
              let at = 0;
              return forms.map(({ length }) => firstTold(found.slice(at, (at += length))));
            });
            return "kind" in answers ? keys.map(() => answers) : answers;
          },
        }),
    ...(backend.entries === undefined
      ? {}
      : {
          entries: (ask?: TableAsk): Promise<TableAnswer<readonly TableEntry[]>> =>
            bounded<TableAnswer<readonly TableEntry[]>>(
              ask,
              (asked) => backend.entries?.(asked) ?? Promise.resolve({ kind: "none" as const }),
            ),
        }),
    ...(backend.checkPassword === undefined
      ? {}
      : {
          checkPassword: (account: string, password: string, signal?: AbortSignal) =>
            within(signal, async (limit) => {
              const answer = await backend.checkPassword?.(accountName(account), password, limit.signal);
              return answer ?? ({ kind: "unable" } as const);
            }),
        }),
    ...(backend.look === undefined ? {} : { look: () => backend.look?.() ?? Promise.resolve() }),
    health: () => backend.health(),
  };
}

/** The first that is not "there is none". */
function firstTold(answers: readonly TableAnswer[]): TableAnswer {
  return answers.find(({ kind }) => kind !== "none") ?? { kind: "none" };
}

interface Failed {
  readonly kind: "failed";
  readonly text: string;
}

/** What a backend is told of a lookup. The signal is made for those that look at it. */
class Asked implements BackendAsk {
  readonly service: TableService;
  readonly #limit: Limit;

  constructor(service: TableService, limit: Limit) {
    this.service = service;
    this.#limit = limit;
  }

  get signal(): AbortSignal {
    return this.#limit.signal;
  }

  get isOver(): boolean {
    return this.#limit.isOver;
  }
}

/** `isFirstLikely`: the others are asked for only when the first is not there. */
async function firstOf(
  backend: KeyedBackend,
  keys: readonly string[],
  asked: Asked,
  { onStep, isFirstLikely }: { readonly onStep: TableAsk["onStep"]; readonly isFirstLikely: boolean },
): Promise<FirstAnswer> {
  // Step by step when somebody wants to see each; it finds the same.
  const isTogether = onStep === undefined && keys.length > 1;
  if (isTogether && backend.first !== undefined) return await backend.first(keys, asked);
  for (let at = 0; at < keys.length;) {
    if (asked.isOver) return { kind: "failed", text: "given up" };
    const isMany = isTogether && backend.each !== undefined && (at > 0 || !isFirstLikely);
    const group = keys.slice(at, isMany ? at + MOST_TOGETHER : at + 1);
    const [single = ""] = group;
    const answers =
      group.length > 1 && backend.each !== undefined
        ? await backend.each(group, asked)
        : [await backend.get(single, asked)];
    for (const [place, answer] of answers.entries()) {
      const key = group[place] ?? "";
      onStep?.({ key, answer });
      if (answer.kind === "found") return { ...answer, key };
      if (answer.kind === "failed") return answer;
    }
    at += group.length;
  }
  return { kind: "none" };
}

/** So many questions of one lookup are under way at once: a user's forms, or all wildcards of a usual domain. */
const MOST_TOGETHER = 8;
