import { harmlessJson } from "../../../foundation/escape.ts";
import type { ShownFilter } from "../../../mail/filter/merged-health.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

export const showFilters: CliCommand = {
  name: "show filters",
  operands: "[FILTER]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Shows the filters that are in use: whether each answers, how often it was asked, and what it said last when it failed.",
  explains:
    "STATE: up, untried while nobody has asked, or down when what a process asked it last has failed (others may have had an answer since). ASKED, FAILED and MS (the mean) count since the settings were read, over all processes; in a split server they are some seconds old. Exits with 1 when there is nothing to show.",
  options: { watch: watchOption, json: { says: "One JSON object a line." } },
  async run(given, world) {
    const [only] = given.operands;
    const isJson = given.has("json");
    const look = async (): Promise<{ rows: readonly ShownFilter[]; text: string }> => {
      const all = await withServer(given, world, "query", (server) => server.call("filters.show"));
      const rows = only === undefined ? all : all.filter(({ name }) => name === only);
      if (isJson) return { rows, text: rows.map((row) => `${harmlessJson(row)}\n`).join("") };
      return { rows, text: rows.length === 0 ? "no filters to show\n" : tableOf(rows, world) };
    };
    const everyMs = watchMsOf(showFilters, given);
    if (everyMs !== undefined) return watching(everyMs, world, isJson, async () => (await look()).text);
    const { rows, text } = await look();
    if (rows.length > 0 || !isJson) world.stdout.write(text);
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly ShownFilter[], world: World): string {
  const now = world.now();
  return textTable(
    [
      { title: "STATE" },
      { title: "FILTER" },
      { title: "ASKED", align: "right" },
      { title: "FAILED", align: "right" },
      { title: "MS", align: "right" },
      { title: "WHAT" },
    ],
    rows.map(({ state, name, asked, failures, meanMs, text, lastFailure }) => [
      state,
      name,
      String(asked),
      failures === 0 ? "" : String(failures),
      meanMs === undefined ? "" : meanMs.toFixed(meanMs < 10 ? 2 : 0),
      lastFailure === undefined
        ? text
        : [
            // Of some kinds the text is what failed last.
            ...(text === lastFailure.text ? [] : [text]),
            `failed ${roughDuration(Math.max(0, now - lastFailure.at))} ago: ${lastFailure.text}`,
          ].join("; "),
    ]),
  );
}
