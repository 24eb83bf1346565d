import { existsSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { sleep, type Clock } from "../../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { backendTally, fileHealth } from "../backend-tally.ts";
import { FreshLook } from "../fresh-look.ts";
import {
  withoutKey,
  type BackendAsk,
  type BackendProblem,
  type FirstAnswer,
  type KeyedBackend,
} from "../keyed-backend.ts";
import { keyParameters, type KeyParameter } from "../key-parameters.ts";
import { queryFor, servicesOf } from "../queries.ts";
import { rowValue, type Row } from "../row-value.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import type { TableFinding } from "../tables.ts";
import type { SqliteSettings } from "./settings.ts";
import { queryParameters } from "./sqlite-query.ts";

/** Somebody who writes keeps readers out for moments only; we come again rather than block everybody who asks us. */
const BUSY_AGAIN_MS = 10;
/** More rows than this for one key are no answer but a mistake in the query. */
const MOST_ROWS = 10_000;

interface Open {
  readonly database: DatabaseSync;
  readonly mark: string;
  readonly statements: Map<TableService, Prepared>;
}
interface Prepared {
  readonly statement: StatementSync;
  readonly parameters: readonly KeyParameter[];
}

/**
 * Reads an SQLite database. A question is answered at once, on this thread: with an index it takes microseconds, and a
 * query that would go through a whole table is told as a finding when the database is opened.
 */
export function sqliteBackend(
  table: string,
  settings: SqliteSettings,
  world: { readonly clock: Clock; readonly onFinding: (finding: TableFinding) => void },
): KeyedBackend {
  const { clock } = world;
  const tally = backendTally(clock);
  let open: Open | undefined;
  let isClosed = false;
  let failure = "";

  const failed = (text: string): void => {
    if (failure !== text && open !== undefined)
      world.onFinding({ table, text: `${text}; the version before stays in force` });
    failure = text;
  };
  const settled = (): void => {
    failure = "";
    tally.mended();
  };
  /** What is open stays so while the file is gone or the new one cannot be used. */
  const look = async (): Promise<void> => {
    try {
      const mark = await markOf(settings.file);
      if (isClosed) return;
      if (mark === open?.mark) {
        if (failure !== "") settled();
        return;
      }
      const next = openDatabase(settings, mark, (text) => world.onFinding({ table, text }));
      open?.database.close();
      open = next;
      settled();
    } catch (thrown) {
      const text = describe(settings.file, thrown);
      failed(text);
      if (open === undefined) throw new Error(text, { cause: thrown });
    }
  };
  const fresh = new FreshLook(clock, look);
  const current = async (): Promise<Open> => {
    const wait = fresh.before(open === undefined ? { needs: true, everyMs: 0 } : {});
    if (wait !== undefined) await wait;
    if (open === undefined || isClosed) throw new Error(`${settings.file} is closed`);
    return open;
  };
  const ask = async (keys: readonly string[], { service, signal }: BackendAsk): Promise<FirstAnswer> => {
    for (;;) {
      try {
        const { statements } = await current();
        const prepared = statements.get(service);
        if (prepared === undefined) return { kind: "failed", text: `table ${table} has no query for ${service}` };
        for (const key of keys) {
          const answer = rowValue(service, rowsOf(prepared, key, service));
          if (answer.kind === "found") return { ...answer, key, where: settings.file };
          if (answer.kind === "failed") return answer;
        }
        return { kind: "none" };
      } catch (thrown) {
        if (isBusy(thrown) && signal?.aborted !== true) {
          try {
            await sleep(clock, BUSY_AGAIN_MS, signal);
            continue;
          } catch {
            // Given up while waiting: told below.
          }
        }
        return { kind: "failed", text: describe(settings.file, thrown) };
      }
    }
  };
  return {
    get: (key, asked) => tally.count(async () => withoutKey(await ask([key], asked))),
    first: (keys, asked) => tally.count(() => ask(keys, asked)),
    probe: () => Promise.resolve(problemsOf(settings)),
    services: () => servicesOf(settings.queries),
    look: () => fresh.now(),
    health: () => fileHealth(tally.health(settings.file), open !== undefined, failure),
    close() {
      isClosed = true;
      open?.database.close();
      open = undefined;
      return Promise.resolve();
    },
  };
}

/** Each query that cannot be used, and each that would go through a whole table. */
function problemsOf({ file, queries }: SqliteSettings): readonly BackendProblem[] {
  const problems: BackendProblem[] = [];
  let database: DatabaseSync;
  try {
    database = openRead(file);
  } catch (thrown) {
    return [{ path: ["file"], text: existsSync(file) ? describe(file, thrown) : `${file} does not exist` }];
  }
  try {
    for (const [service, sql] of Object.entries(queries)) {
      const path = ["queries", service];
      try {
        const scanned = scanOf(database, sql, prepare(database, sql).parameters);
        if (scanned !== undefined) problems.push({ path, text: `goes through a whole table (${scanned})` });
      } catch (thrown) {
        problems.push({ path, text: describe(file, thrown) });
      }
    }
    return problems;
  } finally {
    database.close();
  }
}

/** Throws what the library throws. */
function openDatabase(settings: SqliteSettings, mark: string, tell: (text: string) => void): Open {
  const database = openRead(settings.file);
  try {
    const statements = new Map<TableService, Prepared>();
    const byText = new Map<string, Prepared>();
    for (const service of TABLE_SERVICES) {
      const sql = queryFor(settings.queries, service);
      if (sql === undefined) continue;
      const prepared = byText.get(sql) ?? prepare(database, sql);
      statements.set(service, prepared);
      if (byText.has(sql)) continue;
      byText.set(sql, prepared);
      const scanned = scanOf(database, sql, prepared.parameters);
      if (scanned !== undefined)
        tell(`${settings.file}: query "${sql}" goes through a whole table (${scanned}); it needs an index`);
    }
    return { database, mark, statements };
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/** SQLite opens whatever it is given, and would wait for a pipe's writer, on this thread. */
function openRead(file: string): DatabaseSync {
  if (!statSync(file).isFile()) throw new Error(`${file} is no regular file`);
  return new DatabaseSync(file, { readOnly: true, timeout: 0, allowExtension: false });
}

function prepare(database: DatabaseSync, sql: string): Prepared {
  const parameters = queryParameters(sql);
  if (!parameters.ok) throw new Error(`query "${sql}": ${parameters.problem}`);
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  return { statement, parameters: parameters.value };
}

function rowsOf({ statement, parameters }: Prepared, key: string, service: TableService): readonly Row[] {
  const rows: Row[] = [];
  for (const row of statement.iterate(valuesOf(parameters, key, service))) {
    // setReturnArrays made each row a list of columns.
    rows.push((row as unknown as readonly unknown[]).map(textOf));
    if (rows.length > MOST_ROWS) throw new Error(`more than ${MOST_ROWS} rows for one key`);
  }
  return rows;
}

function textOf(column: unknown): string | null {
  if (column === null || column === undefined) return null;
  if (column instanceof Uint8Array) return Buffer.from(column).toString("utf8");
  return `${column as string | number | bigint}`;
}

function valuesOf(parameters: readonly KeyParameter[], key: string, service: TableService): Record<string, string> {
  const values = keyParameters(key, service);
  return Object.fromEntries(parameters.map((each) => [each, values[each]]));
}

/** What SQLite's plan says of a query without an index; small tables may do without one, so it is no error. */
function scanOf(database: DatabaseSync, sql: string, parameters: readonly KeyParameter[]): string | undefined {
  const plan = database.prepare(`explain query plan ${sql}`).all(valuesOf(parameters, "a@b", "string"));
  const step = plan.map(({ detail }) => String(detail)).find((detail) => /^SCAN (?!.* USING )/.test(detail));
  return step !== undefined && step !== "SCAN CONSTANT ROW" ? step : undefined;
}

function isBusy(thrown: unknown): boolean {
  return thrown instanceof Error && "errcode" in thrown && (thrown.errcode === 5 || thrown.errcode === 6);
}

function describe(file: string, thrown: unknown): string {
  const code = systemCodeOf(thrown);
  if (code === "ENOENT") return `${file} does not exist`;
  if (code === "EACCES") return `${file} may not be read by this user`;
  const text = messageOf(thrown);
  return text.includes(file) ? text : `${file}: ${text}`;
}

async function markOf(file: string): Promise<string> {
  const { ino, dev } = await stat(file);
  return `${dev} ${ino}`;
}
