import { harmlessJson } from "../../../foundation/escape.ts";
import type { ShownTable } from "../../control/admin.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

export const showTables: CliCommand = {
  name: "show tables",
  operands: "[TABLE]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Shows the tables of the settings: what each is, whether it answers, how large, how old, how much it was asked.",
  explains:
    "STATE: up, down, or untried while nobody has asked. ENTRIES: where that is known. AGE: since the file was changed. ASKED, FAILED and MS (the mean) count since the table was opened, for tables that a backend answers. POOL: connections at work / open / at most, and +N questions that wait for one. Exits with 1 when there is nothing to show.",
  options: { watch: watchOption, json: { says: "One JSON object a line." } },
  async run(given, world) {
    const [only] = given.operands;
    const isJson = given.has("json");
    const look = async (): Promise<{ rows: readonly ShownTable[]; text: string }> => {
      const all = await withServer(given, world, "query", (server) => server.call("tables.show"));
      const rows = only === undefined ? all : all.filter(({ table }) => table === only);
      if (isJson) return { rows, text: rows.map((row) => `${harmlessJson(row)}\n`).join("") };
      return { rows, text: rows.length === 0 ? "no tables to show\n" : tableOf(rows, world) };
    };
    const everyMs = watchMsOf(showTables, given);
    if (everyMs !== undefined) return watching(everyMs, world, isJson, async () => (await look()).text);
    const { rows, text } = await look();
    if (rows.length > 0 || !isJson) world.stdout.write(text);
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly ShownTable[], world: World): string {
  const now = world.now();
  const some = (count: number): string => (count === 0 ? "" : String(count));
  return textTable(
    [
      { title: "STATE" },
      { title: "TABLE" },
      { title: "KIND" },
      { title: "ENTRIES", align: "right" },
      { title: "AGE", align: "right" },
      { title: "ASKED", align: "right" },
      { title: "FAILED", align: "right" },
      { title: "MS", align: "right" },
      { title: "POOL" },
      { title: "WHAT" },
    ],
    rows.map(({ table, kind, health }) => [
      health.state,
      table,
      kind,
      health.entries === undefined ? "" : String(health.entries),
      health.changedAt === undefined ? "" : roughDuration(Math.max(0, now - health.changedAt)),
      some(health.queries),
      some(health.failures),
      health.meanMs === undefined ? "" : health.meanMs.toFixed(health.meanMs < 10 ? 2 : 0),
      poolText(health.pool),
      whatText(health, now),
    ]),
  );
}

function poolText(pool: ShownTable["health"]["pool"]): string {
  if (pool === undefined) return "";
  return `${pool.busy}/${pool.open}/${pool.most}${pool.waiting === 0 ? "" : ` +${pool.waiting}`}`;
}

function whatText({ text, lastFailure }: ShownTable["health"], now: number): string {
  if (lastFailure === undefined) return text;
  return `${text}; failed ${roughDuration(Math.max(0, now - lastFailure.at))} ago: ${lastFailure.text}`;
}
