import type { TableAnswer, TableEntry, TableService } from "./table.ts";

/**
 * Answers one key at a time: a database, a directory, a program, an indexed file. Keys come folded, and it knows no
 * wildcards: `keyedTable` asks for those. Never rejects: what goes wrong is `failed` with a sentence for people.
 */
export interface KeyedBackend {
  get(key: string, ask: BackendAsk): Promise<TableAnswer>;
  /**
   * Several keys, best first: the first that is there. Only where all of them cost about what one does (one round trip,
   * one file); without it `get` is asked in turn.
   */
  first?(keys: readonly string[], ask: BackendAsk): Promise<FirstAnswer>;
  /**
   * What stands under each of a few keys, in their order: where several questions can be under way over one connection,
   * so that all of them wait once. Each is a question of its own for whoever answers.
   */
  each?(keys: readonly string[], ask: BackendAsk): Promise<readonly TableAnswer[]>;
  /** All that is in it, where it can be gone through. */
  entries?(ask: BackendAsk): Promise<TableAnswer<readonly TableEntry[]>>;
  /** As the table's; the account is in lower case, a domain in it as A-labels. */
  checkPassword?(
    account: string,
    password: string,
    signal: AbortSignal,
  ): Promise<TableAnswer | { readonly kind: "unable" }>;
  /** Services that it can answer; without it, or undefined: all. */
  services?(): readonly TableService[] | undefined;
  /** Of a file: looks at it now, whoever else does not, so that `health` is of now. Never rejects, and waits for no slow disk. */
  look?(): Promise<void>;
  health(): BackendHealth;
  /** Asks each of its queries once, to find what is wrong before mail does; for `posthorn check`. */
  probe?(): Promise<readonly BackendProblem[]>;
  close(): Promise<void>;
}

export interface BackendAsk {
  readonly service: TableService;
  /** Aborts when nobody waits any more. Whoever waited has been answered then: for backends that can stop, or ask again. */
  readonly signal?: AbortSignal | undefined;
}

/** What is wrong, and with which of the backend's settings: `["queries", "alias"]`. */
export interface BackendProblem {
  readonly path: readonly string[];
  readonly text: string;
}

export type FirstAnswer =
  | {
      readonly kind: "found";
      readonly key: string;
      readonly value: string;
      readonly where: string;
      /** What the asker would ask this table next, where `TableAsk.ahead` said so and the table could guess. */
      readonly ahead?: readonly AnswerAhead[] | undefined;
    }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

/** What `firstExact` of these keys says. */
export interface AnswerAhead {
  readonly keys: readonly string[];
  readonly answer: FirstAnswer;
}

/** What `posthorn show tables` tells of a backend. */
export interface BackendHealth {
  /** `untried` until somebody has asked; then as the last question went. */
  readonly state: "up" | "down" | "untried";
  /** What it is, in a few words: `postgres://db.example/mail`, `/etc/aliases.cdb of 2026-05-01 10:00`. */
  readonly text: string;
  readonly queries: number;
  readonly failures: number;
  /** `at` in ms since the epoch. */
  readonly lastFailure?: { readonly at: number; readonly text: string } | undefined;
  /** Connections: those open, those at work, questions waiting for one, and the most that there may be. */
  readonly pool?:
    | { readonly open: number; readonly busy: number; readonly waiting: number; readonly most: number }
    | undefined;
  readonly meanMs?: number | undefined;
  /** Where that is known without asking. */
  readonly entries?: number | undefined;
  /** When what is in force was made, in ms since the epoch; for files. */
  readonly changedAt?: number | undefined;
}

/** What `first` of one key means for `get`. */
export function withoutKey(answer: FirstAnswer): TableAnswer {
  return answer.kind === "found" ? { kind: "found", value: answer.value, where: answer.where } : answer;
}
