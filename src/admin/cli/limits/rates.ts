import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { formatRate } from "../../../foundation/units.ts";
import type { ShownRate } from "../../../mail/envelope/restrictions/rates.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

export const showRates: CliCommand = {
  name: "show rates",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what restrictions count (`rate`), the nearest to its limit first.",
  explains:
    "COUNT is what lies within the limit's time. REFUSED: how often there was no room since there last was. At most 1000 are shown. Exits with 1 when nothing is counted.",
  options: { watch: watchOption, json: { says: "One JSON object a line." } },
  async run(given, world) {
    const isJson = given.has("json");
    const look = async (): Promise<{ rows: readonly ShownRate[]; text: string }> => {
      const rows = await withServer(given, world, "query", (server) => server.call("rates.show"));
      if (isJson) return { rows, text: rows.map((row) => `${harmlessJson(row)}\n`).join("") };
      return { rows, text: rows.length === 0 ? "nothing is counted\n" : tableOf(rows, world) };
    };
    const everyMs = watchMsOf(showRates, given);
    if (everyMs !== undefined) return watching(everyMs, world, isJson, async () => (await look()).text);
    const { rows, text } = await look();
    world.stdout.write(text);
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const ratesClear: CliCommand = {
  name: "rates clear",
  operands: "KEY",
  leastOperands: 1,
  mostOperands: 1,
  says: "Lets a client, an account or an address begin anew in all rates that count it: the key as `show rates` has it.",
  explains: "Exits with 1 when nothing was counted of it.",
  options: {},
  async run(given, world) {
    const [key = ""] = given.operands;
    const { cleared } = await withServer(given, world, "change", (server) => server.call("rates.clear", { key }));
    world.stdout.write(cleared === 0 ? "nothing was counted of it\n" : `${escapeControls(key)} begins anew\n`);
    return cleared > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly ShownRate[], world: World): string {
  return textTable(
    [
      { title: "KEY" },
      { title: "COUNT", align: "right" },
      { title: "LIMIT" },
      { title: "REFUSED", align: "right" },
      { title: "LAST" },
      { title: "RESTRICTION" },
    ],
    rows.map(({ rate, key, sum, limit, perMs, refused, lastAt }) => [
      key,
      String(sum),
      formatRate({ count: limit, perMs }),
      String(refused),
      instantText(lastAt, world.offsetMinutes),
      rate,
    ]),
  );
}
