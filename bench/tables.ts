/**
 * What tables add to a lookup and to the median RCPT: `node bench/tables.ts [--rows 1000000] [--aliases 10000]
 * [--layout single|split] [--count 3000] [--postgres] [--only SQLite,PostgreSQL]`. Aliases in a text file, rows in an indexed file, in SQLite and (as root, with the
 * peers of test/peers/install.sh) in PostgreSQL. Each first asked as the server's own code asks, then by RCPT in one session of a
 * running server, beside the same server without aliases. Runs the sources.
 */
import { mkdtempSync, rmSync, chmodSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../src/foundation/clock.io.ts";
import { systemRandom } from "../src/foundation/random.io.ts";
import { makeCdb } from "../src/service/table/cdb/make-cdb.io.ts";
import { watchedFile } from "../src/service/table/file.io.ts";
import { openTable } from "../src/service/table/open-backend.io.ts";
import { tablesSettings } from "../src/service/table/settings.ts";
import { isBackendSource } from "../src/service/table/backend-source.ts";
import type { Table } from "../src/service/table/table.ts";
import { createTables } from "../src/service/table/tables.ts";
import { startServer, type Layout } from "../test/server.ts";
import { smtpConnect } from "../test/smtp-client.ts";
import { postgresRows } from "./postgres-table.ts";
import { scriptArguments } from "../tools/script-arguments.ts";
import { trustIn } from "../src/testing/trust.ts";

const { values: options } = scriptArguments({
  options: {
    rows: { type: "string", default: "1000000" },
    aliases: { type: "string", default: "10000" },
    layout: { type: "string", default: "single" },
    count: { type: "string", default: "3000" },
    postgres: { type: "boolean", default: false },
    only: { type: "string", default: "" },
  },
});
const rows = Number(options.rows);
/** Recipients measured, after half as many to warm up. */
const count = Number(options.count);
const aliases = Number(options.aliases);
const layout: Layout = options.layout === "split" ? "split" : "single";
const DOMAIN = "example.org";

interface Subject {
  readonly name: string;
  readonly entries: number;
  /** One entry of `tables`. */
  readonly settings: string;
}

const folder = mkdtempSync(join(tmpdir(), "posthorn-bench-tables-"));
chmodSync(folder, 0o755);
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
await main();

async function main(): Promise<void> {
  const only = options.only === "" ? undefined : options.only.split(",");
  const isWanted = (name: string): boolean => only?.includes(name) ?? true;
  const subjects: Subject[] = [
    ...(isWanted("alias file") ? [aliasFile()] : []),
    ...(isWanted("indexed file") ? [await indexedFile()] : []),
    ...(isWanted("SQLite") ? [sqliteFile()] : []),
  ];
  await using postgres = options.postgres ? await postgresRows(rows) : undefined;
  if (postgres !== undefined) subjects.push({ name: "PostgreSQL", entries: rows, settings: postgres.settings });
  say("lookup", "entries", "there", "99 %", "not there", "99 %");
  for (const subject of subjects) await lookups(subject);
  say(`RCPT, ${layout}`, "entries", "there", "99 %", "not there", "99 %");
  await rcpts(undefined);
  for (const subject of subjects) await rcpts(subject);
}

function aliasFile(): Subject {
  const file = join(folder, "aliases");
  writeFileSync(
    file,
    lines(aliases)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(""),
  );
  return { name: "alias file", entries: aliases, settings: `{ aliases: ${file} }` };
}

async function indexedFile(): Promise<Subject> {
  const file = join(folder, "indexed");
  writeFileSync(
    file,
    lines(rows)
      .map(([key, value]) => `${key} ${value}\n`)
      .join(""),
  );
  const began = performance.now();
  const made = await makeCdb(file, "file");
  if (!made.ok) throw new Error(made.problem[0]?.text);
  process.stdout.write(`makemap of ${rows} entries: ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
  return { name: "indexed file (cdb)", entries: rows, settings: `{ cdb: ${file}.cdb }` };
}

function sqliteFile(): Subject {
  const file = join(folder, "mail.db");
  const database = new DatabaseSync(file);
  database.exec("create table alias (address text primary key, target text not null) without rowid; begin");
  const insert = database.prepare("insert into alias values (?, ?)");
  for (const row of lines(rows)) insert.run(...row);
  database.exec("commit");
  database.close();
  chmodSync(file, 0o644);
  const query = "select target from alias where address = :key";
  return { name: "SQLite", entries: rows, settings: `{ sqlite: { file: ${file}, queries: { alias: "${query}" } } }` };
}

function lines(count: number): (readonly [key: string, value: string])[] {
  return Array.from({ length: count }, (_, at) => [`user${at}@${DOMAIN}`, `box${at % 100}`]);
}

async function lookups({ name, entries, settings }: Subject): Promise<void> {
  await using opened = await open(settings);
  const ask = async (key: string, expected: string): Promise<void> => {
    const { kind } = await opened.table.lookup(key, { service: "alias" });
    if (kind !== expected) throw new Error(`${key}: ${kind}`);
  };
  let at = 0;
  const next = (): number => (at = (at + 7919) % entries);
  const there = await timesOf(5000, () => ask(`user${next()}@${DOMAIN}`, "found"));
  const missing = await timesOf(5000, () => ask(`nobody${next()}@${DOMAIN}`, "none"));
  say(name, String(entries), ...there, ...missing);
}

async function open(settings: string): Promise<AsyncDisposable & { table: Table }> {
  const { t: source } = tablesSettings.parse({ t: writtenAs(settings) });
  if (source === undefined) throw new Error("the settings are wrong");
  if (isBackendSource(source)) {
    const opened = await openTable("t", source, {
      clock: systemClock,
      random: systemRandom,
      trust: trustIn(),
      onFinding: ({ text }) => process.stderr.write(`${text}\n`),
      secrets: { t: "secret" },
    });
    return { table: opened.table, [Symbol.asyncDispose]: () => opened.close() };
  }
  const tables = createTables(
    { t: source },
    (table, path) => watchedFile(table, path, systemClock, () => {}),
    () => {},
  );
  const table = tables.get("t");
  if (table === undefined) throw new Error("there is no table");
  return { table, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** The settings above are one line of YAML's flow style, or JSON. */
function writtenAs(settings: string): Record<string, unknown> {
  const file = /^\{ (aliases|cdb): (\S+) \}$/.exec(settings);
  if (file !== null) return { [file[1] ?? ""]: file[2] };
  const sqlite = /^\{ sqlite: \{ file: (\S+), queries: \{ alias: "(.*)" \} \} \}$/.exec(settings);
  if (sqlite !== null) return { sqlite: { file: sqlite[1], queries: { alias: sqlite[2] } } };
  return JSON.parse(settings) as Record<string, unknown>;
}

async function rcpts(subject: Subject | undefined): Promise<void> {
  const entry = subject === undefined ? "" : `\ntables: { t: ${subject.settings} }`;
  await using server = await startServer({
    layout,
    settings: `local:\n  domains: [${DOMAIN}]${subject === undefined ? "" : "\n  aliases: table:t"}${entry}\n`,
  });
  const client = await smtpConnect(server.ports.smtp);
  await client.reply();
  await client.say("EHLO bench.test");
  await client.say("MAIL FROM:<a@bench.test>");
  let given = 0;
  let at = 0;
  const rcpt = async (user: string): Promise<void> => {
    const reply = await client.say(`RCPT TO:<${user}@${DOMAIN}>`);
    if (!reply.startsWith("250")) throw new Error(reply);
    given++;
  };
  /** A transaction takes so many; the change to the next one is not measured. */
  const renew = async (): Promise<void> => {
    if (given < 90) return;
    given = 0;
    await client.say("RSET");
    await client.say("MAIL FROM:<a@bench.test>");
  };
  const next = (): number => (at = (at + 7919) % (subject?.entries ?? rows));
  const there = await timesOf(count, () => rcpt(`user${next()}`), renew);
  const missing = await timesOf(count, () => rcpt(`nobody${next()}`), renew);
  client.close();
  say(subject?.name ?? "no aliases", String(subject?.entries ?? ""), ...there, ...missing);
}

async function timesOf(
  turns: number,
  work: () => Promise<void>,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<readonly [median: string, most: string]> {
  const tookMs: number[] = [];
  for (let turn = 0; turn < turns * 1.5; turn++) {
    await between();
    const began = performance.now();
    await work();
    // The first third warms up.
    if (turn >= turns / 2) tookMs.push(performance.now() - began);
  }
  tookMs.sort((a, b) => a - b);
  const part = (share: number): string => `${(tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(3)} ms`;
  return [part(0.5), part(0.99)];
}

function say(...cells: readonly string[]): void {
  process.stdout.write(`${cells.map((cell, at) => (at === 0 ? cell.padEnd(20) : cell.padStart(14))).join("")}\n`);
}
