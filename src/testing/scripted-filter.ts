import { systemClock } from "../foundation/clock.io.ts";
import type { Clock } from "../foundation/clock.ts";
import { emitNothing, type Emit } from "../foundation/events.ts";
import { Filters, Trouble, type FilterInUse } from "../mail/filter/filters.ts";
import type {
  Filter,
  FilterMail,
  FilterNotice,
  FilterQuestion,
  FilterStage,
  MailVerdict,
  StageVerdict,
} from "../mail/filter/filter.ts";

/** What a filter of a test says; stages without an answer are not asked. */
export interface Script {
  readonly ask?: ((question: FilterQuestion, signal: AbortSignal) => StageVerdict | Promise<StageVerdict>) | undefined;
  /** The stages of `ask`. */
  readonly at?: readonly FilterStage[] | undefined;
  readonly judge?: ((mail: FilterMail, signal: AbortSignal) => MailVerdict | Promise<MailVerdict>) | undefined;
  readonly note?: ((what: FilterNotice) => void) | undefined;
  readonly handsOver?: boolean | undefined;
  readonly settings?: Partial<FilterInUse["settings"]> | undefined;
}

export interface ScriptedFilter extends FilterInUse {
  /** `connect`, `helo`, …, `message`, `end`, in the order in which it was asked. */
  readonly asked: readonly string[];
}

export function scriptedFilter(
  name: string,
  script: Script,
  world: { readonly clock?: Clock; readonly emit?: Emit } = {},
): ScriptedFilter {
  const { clock = systemClock, emit = emitNothing } = world;
  const asked: string[] = [];
  const stages = new Set<FilterStage>([
    ...(script.ask === undefined ? [] : (script.at ?? [])),
    ...(script.judge === undefined ? [] : (["message"] as const)),
  ]);
  const filter: Filter = {
    name,
    stages,
    wantsNotes: script.note !== undefined,
    handsOver: script.handsOver,
    open: () => ({
      async ask(question, signal) {
        asked.push(question.stage);
        return (await script.ask?.(question, signal)) ?? { kind: "proceed" };
      },
      async judge(mail, signal) {
        asked.push("message");
        return (await script.judge?.(mail, signal)) ?? { fate: { kind: "keep" } };
      },
      note: (what) => script.note?.(what),
      end: () => asked.push("end"),
    }),
    health: () => ({ state: "untried", text: "a test's", asked: 0, failures: 0 }),
    close: () => Promise.resolve(),
  };
  const settings = { timeout: 5000, messageTimeout: 5000, onFailure: "defer", maxSize: 0, ...script.settings } as const;
  return { filter, settings, trouble: new Trouble(name, clock, emit), asked };
}

/** The filters at every listener, in this order. */
export function filtersOf(all: readonly FilterInUse[], world: { readonly clock?: Clock } = {}): Filters {
  return new Filters(
    all,
    { common: all.map(({ filter }) => filter.name), listeners: new Map() },
    { clock: world.clock ?? systemClock, tables: new Map(), isAction: (name) => name === "deliver" || name === "junk" },
  );
}
