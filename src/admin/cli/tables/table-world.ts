import type { Result } from "../../../foundation/result.ts";
import type { MadeCdb, MakeProblem } from "../../../service/table/cdb/made.ts";
import type { TableAnswer, TableService, TableStep } from "../../../service/table/table.ts";

/** What the commands about tables know of the world. */
export interface TableWorld {
  /** Asks a table of the settings, from this process. Rejects when the settings cannot be used or have no such table. */
  readonly lookupTable: (question: TableQuestion) => Promise<TableStory>;
  /** The alias files of the settings. Rejects with `SETTINGS_INVALID` when `tables` cannot be read. */
  readonly aliasFiles: (settingsFile: string | undefined) => Promise<readonly AliasFile[]>;
  /** Makes an indexed file of a text file; `target` in place of its name with `.cdb` behind. */
  readonly makeMap: (
    source: string,
    syntax: "file" | "aliases",
    target?: string,
  ) => Promise<Result<MadeCdb, readonly MakeProblem[]>>;
  /** What is wrong with an alias file, and how many aliases it has. */
  readonly checkAliases: (file: string) => Promise<Result<{ readonly entries: number }, readonly MakeProblem[]>>;
}

export interface TableQuestion {
  readonly settingsFile: string | undefined;
  readonly table: string;
  readonly service: TableService;
  readonly key: string;
  /** `has`: whether it is a member; `exact`: without wildcards. */
  readonly verb: "lookup" | "has" | "exact";
}

export interface TableStory {
  readonly table: string;
  /** `file`, `cdb`, `postgres` ... */
  readonly kind: string;
  /** What it is: a file, a server. */
  readonly text: string;
  /** The key as it is compared. */
  readonly folded: string;
  readonly steps: readonly TableStep[];
  readonly answer: TableAnswer<string | boolean>;
  /** The key of the entry that decided, as it was written there, where that is known. */
  readonly entry?: string | undefined;
  /** What the table said of itself on the way. */
  readonly findings: readonly string[];
  readonly tookMs: number;
}

export interface AliasFile {
  readonly table: string;
  /** The text. */
  readonly source: string;
  /** The indexed file that is made of it; undefined where the text itself is read. */
  readonly indexed?: string | undefined;
}
