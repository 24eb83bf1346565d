import { harmlessJson } from "../../../foundation/escape.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { askTls, selectionOf, selectionOptions } from "./tls-ask.ts";

const MONTH_MS = 30 * 24 * 60 * 60_000;

export const tlsPlaintext: CliCommand = {
  name: "tls plaintext",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Lists who sent or got mail without encryption, since when, and under which rule.",
  explains: "Without --since, the last thirty days. Exits with 1 when all mail was encrypted.",
  options: {
    ...selectionOptions,
    since: { says: "Only the last so long (4h, 7d); 30d when left out.", value: "DURATION" },
  },
  async run(given, world) {
    const selection = selectionOf(tlsPlaintext, given, world, MONTH_MS);
    const { rows } = await askTls({ ask: "plaintext", ...selection }, given, world);
    if (given.has("json")) {
      for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    } else if (rows.length === 0) world.stdout.write("all mail of that time was encrypted\n");
    else {
      const instant = (at: number): string => instantText(at, world.offsetMinutes);
      world.stdout.write(
        textTable(
          [
            { title: "PEER" },
            { title: "WAY" },
            { title: "PLACE" },
            { title: "MAILS", align: "right" },
            { title: "SINCE" },
            { title: "LAST" },
            { title: "RULE" },
          ],
          rows.map((row) => [
            row.peer,
            row.direction,
            row.place,
            String(row.mails),
            instant(row.firstAt),
            instant(row.lastAt),
            row.rule,
          ]),
        ),
      );
    }
    return rows.length === 0 ? exitCodes.nothing : exitCodes.ok;
  },
};
