import { harmlessJson } from "../../../foundation/escape.ts";
import type { CensusRow } from "../../../mail/queue/store.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { countOf } from "../selector.ts";
import { textTable } from "../text-table.ts";

/** Minutes, as qshape has them; the last column is everything older. */
const AGES = ["5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"];

export const queueCount: CliCommand = {
  name: "queue count",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Counts envelopes by recipient domain and age in minutes, like qshape.",
  options: {
    limit: { says: "No more than so many domains, the fullest first.", value: "COUNT" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const limit = countOf(queueCount, given, "limit");
    const census = await withServer(given, world, "query", (server) => server.call("queue.count"));
    const rows = [...census].sort((one, other) => other.total - one.total).slice(0, limit);
    if (given.has("json")) for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    else world.stdout.write(tableOf(totalOf(census), rows));
    return exitCodes.ok;
  },
};

function totalOf(rows: readonly CensusRow[]): CensusRow {
  const byAge = AGES.map((_, at) => rows.reduce((sum, row) => sum + (row.byAge[at] ?? 0), 0));
  return { domain: "TOTAL", total: rows.reduce((sum, row) => sum + row.total, 0), byAge };
}

function tableOf(total: CensusRow, rows: readonly CensusRow[]): string {
  const columns = ["T", ...AGES].map((title) => ({ title, align: "right" }) as const);
  return textTable(
    [{ title: "DOMAIN" }, ...columns],
    [total, ...rows].map((row) => [row.domain, String(row.total), ...row.byAge.map(String)]),
  );
}
