import { harmlessJson } from "../../../foundation/escape.ts";
import type { Counted } from "../../../mail/scheduler/admin/meter.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";

export const showStats: CliCommand = {
  name: "show stats",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what was queued, delivered, deferred and bounced, sessions, and failures by their cause.",
  explains:
    "TOTAL counts since the scheduler started and is never set back; MINUTE is the last whole minute, HOUR the last sixty minutes.",
  options: { watch: watchOption, json: { says: "One JSON object." } },
  async run(given, world) {
    const look = async (): Promise<string> => {
      const counted = await withServer(given, world, "query", (server) => server.call("stats"));
      return given.has("json") ? `${harmlessJson(byName(counted))}\n` : statsText(counted);
    };
    const everyMs = watchMsOf(showStats, given);
    if (everyMs !== undefined) return watching(everyMs, world, given.has("json"), look);
    world.stdout.write(await look());
    return exitCodes.ok;
  },
};

function byName(counted: readonly Counted[]): Readonly<Record<string, Omit<Counted, "name">>> {
  return Object.fromEntries(counted.map(({ name, ...counts }) => [name, counts]));
}

/** What people look for first; failures by cause at the end. */
const FIRST = ["queued", "delivered", "deferred", "bounced", "expired", "dead"];

export function statsText(counted: readonly Counted[]): string {
  const known = new Map(counted.map((one) => [one.name, one]));
  const zero = (name: string): Counted => known.get(name) ?? { name, total: 0, lastMinute: 0, lastHour: 0 };
  const others = counted.filter(({ name }) => !FIRST.includes(name));
  const rows = [
    ...FIRST.map(zero),
    ...others.filter(({ name }) => !isFailure(name)),
    ...others.filter(({ name }) => isFailure(name)).toSorted((one, other) => other.total - one.total),
  ];
  return textTable(
    [
      { title: "WHAT" },
      { title: "TOTAL", align: "right" },
      { title: "MINUTE", align: "right" },
      { title: "HOUR", align: "right" },
    ],
    rows.map(({ name, total, lastMinute, lastHour }) => [name, String(total), String(lastMinute), String(lastHour)]),
  );
}

function isFailure(name: string): boolean {
  return name.startsWith("failure ");
}
