import { harmlessJson } from "../../../foundation/escape.ts";
import type { Profile, ProfileRow } from "../../../foundation/profiler.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";

const USUAL_SECONDS = 10;
const MOST_SECONDS = 600;

export const profile: CliCommand = {
  name: "profile",
  operands: "queue|scheduler [SECONDS]",
  leastOperands: 1,
  mostOperands: 2,
  says: "Measures for some seconds (10, if nothing is said) how often and for how long each operation runs.",
  explains:
    "scheduler: its steps by the event that caused them. queue: the store's writes by their first operation, from the asking to the disk; its questions; the groups that share one sync. Nothing is measured while nobody asks.",
  options: { json: { says: "As one JSON object; times in microseconds." } },
  async run(given, world) {
    const [what, seconds = String(USUAL_SECONDS)] = given.operands;
    if (what !== "queue" && what !== "scheduler")
      throw usage(profile, `expected queue or scheduler, got ${JSON.stringify(what)}`);
    const forMs = Math.round(Number(seconds) * 1000);
    if (!/^\d{1,3}(\.\d{1,3})?$/.test(seconds) || forMs < 100 || forMs > MOST_SECONDS * 1000)
      throw usage(profile, `expected up to ${MOST_SECONDS} seconds, got ${JSON.stringify(seconds)}`);
    const measured = await withServer(given, world, "query", (server) => server.call("profile", { what, forMs }));
    world.stdout.write(given.has("json") ? `${harmlessJson(measured)}\n` : profileText(measured));
    return exitCodes.ok;
  },
};

function profileText({ what, tookMs, rows }: Profile): string {
  if (rows.length === 0) return `the ${what} did nothing in ${roughDuration(tookMs)}\n`;
  const times = rows.filter(({ unit }) => unit === "us");
  const sum = times.reduce((whole, row) => whole + row.sum, 0);
  const table = textTable(
    [
      { title: "WHAT" },
      { title: "COUNT", align: "right" },
      { title: "PER SECOND", align: "right" },
      { title: "SUM", align: "right" },
      { title: "MEAN", align: "right" },
      { title: "P50", align: "right" },
      { title: "P90", align: "right" },
      { title: "P99", align: "right" },
      { title: "MOST", align: "right" },
    ],
    rows.map((row) => cellsOf(row, tookMs)),
  );
  const busy = what === "scheduler" ? `, ${(sum / 10 / tookMs).toFixed(1)} % of them busy` : "";
  return `${counted(Math.round(tookMs / 1000), "second")}${busy}\n${table}`;
}

function cellsOf(row: ProfileRow, tookMs: number): readonly string[] {
  const show = (value: number): string => (row.unit === "n" ? String(Math.round(value)) : timeText(value));
  return [
    row.name,
    String(row.count),
    ((row.count / tookMs) * 1000).toFixed(1),
    show(row.sum),
    show(row.sum / Math.max(1, row.count)),
    show(row.p50),
    show(row.p90),
    show(row.p99),
    show(row.most),
  ];
}

/** `12 us`, `3.4 ms`, `2.0 s`. */
function timeText(us: number): string {
  if (us < 1000) return `${Math.round(us)} us`;
  return us < 1_000_000 ? `${(us / 1000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(1)} s`;
}
