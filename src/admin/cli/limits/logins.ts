import { harmlessJson } from "../../../foundation/escape.ts";
import { formatDuration } from "../../../foundation/units.ts";
import type { ShownLogin } from "../../../service/account/logins.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

export const showLogins: CliCommand = {
  name: "show logins",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows the addresses and accounts whose logins are slowed down or blocked after failures.",
  explains:
    "SINCE and LAST: the first and the last failure that count. FOR: how long the block lasts, or, while it is only slow, until all is forgotten if nothing more fails. WAITS: how long an answer takes now. An IPv6 address stands for its /64. Exits with 1 when there is nothing to show.",
  options: { watch: watchOption, json: { says: "One JSON object a line." } },
  async run(given, world) {
    const isJson = given.has("json");
    const look = async (): Promise<{ rows: readonly ShownLogin[]; text: string }> => {
      const rows = await withServer(given, world, "query", (server) => server.call("logins.show"));
      if (isJson) return { rows, text: rows.map((row) => `${harmlessJson(row)}\n`).join("") };
      return { rows, text: rows.length === 0 ? "no logins are slowed down or blocked\n" : tableOf(rows, world) };
    };
    const everyMs = watchMsOf(showLogins, given);
    if (everyMs !== undefined) return watching(everyMs, world, isJson, async () => (await look()).text);
    const { rows, text } = await look();
    world.stdout.write(text);
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const loginsClear: CliCommand = {
  name: "logins clear",
  operands: "[ADDRESS|ACCOUNT]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Forgets the failed logins of an address or account: it is heard at once. --all forgets all.",
  explains:
    "What it was slow or blocked for is gone, what fails afterwards counts anew. An account that is blocked by guessing stays blocked for the guesser's address: that is another entry. Exits with 1 when there was nothing.",
  options: { all: { says: "Forget all addresses and accounts." } },
  async run(given, world) {
    const [which] = given.operands;
    if ((which === undefined) !== given.has("all")) throw usage(loginsClear, "say which address or account, or --all");
    const { cleared } = await withServer(given, world, "change", (server) =>
      server.call("logins.clear", which === undefined ? {} : { which }),
    );
    world.stdout.write(cleared === 0 ? "there was nothing to forget\n" : `${counted(cleared, "record")} forgotten\n`);
    return cleared > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly ShownLogin[], world: World): string {
  const now = world.now();
  return textTable(
    [
      { title: "STATE" },
      { title: "WHAT" },
      { title: "WHO" },
      { title: "FAILURES", align: "right" },
      { title: "SINCE" },
      { title: "LAST" },
      { title: "FOR" },
      { title: "WAITS" },
    ],
    rows.map((row) => [
      row.state,
      row.what,
      row.key,
      String(row.failures),
      instantText(row.sinceAt, world.offsetMinutes),
      instantText(row.lastAt, world.offsetMinutes),
      roughDuration(Math.max(0, row.untilAt - now)),
      row.state === "blocked" ? "" : formatDuration(row.delayMs),
    ]),
  );
}
