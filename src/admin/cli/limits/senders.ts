import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { formatRate } from "../../../foundation/units.ts";
import type { ShownSender } from "../../../service/account/sending-limits.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

export const showSenders: CliCommand = {
  name: "show senders",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what accounts have sent, where `accounts.limits` bounds that; the nearest to its limit first.",
  explains:
    "SENT counts what lies within the limit's time. REFUSED: how often more was asked for since the limit was reached. Exits with 1 when nobody has sent anything.",
  options: { watch: watchOption, json: { says: "One JSON object a line." } },
  async run(given, world) {
    const isJson = given.has("json");
    const look = async (): Promise<{ rows: readonly ShownSender[]; text: string }> => {
      const rows = await withServer(given, world, "query", (server) => server.call("senders.show"));
      if (isJson) return { rows, text: rows.map((row) => `${harmlessJson(row)}\n`).join("") };
      return {
        rows,
        text: rows.length === 0 ? "no account has sent anything that is counted\n" : tableOf(rows, world),
      };
    };
    const everyMs = watchMsOf(showSenders, given);
    if (everyMs !== undefined) return watching(everyMs, world, isJson, async () => (await look()).text);
    const { rows, text } = await look();
    world.stdout.write(text);
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const sendersClear: CliCommand = {
  name: "senders clear",
  operands: "ACCOUNT",
  leastOperands: 1,
  mostOperands: 1,
  says: "Lets an account send as if it had sent nothing yet within its limits.",
  explains: "Exits with 1 when nothing was counted of it.",
  options: {},
  async run(given, world) {
    const [account = ""] = given.operands;
    const { cleared } = await withServer(given, world, "change", (server) => server.call("senders.clear", { account }));
    if (cleared > 0) {
      world.stdout.write(`${escapeControls(account)} begins anew\n`);
      return exitCodes.ok;
    }
    const rows = await withServer(given, world, "change", (server) => server.call("senders.show"));
    const near = [...new Set(rows.map((row) => row.account))].filter((name) => isNear(name, account)).slice(0, 5);
    const hint = near.length === 0 ? "`posthorn show senders` has those that sent" : `did you mean ${near.join(", ")}?`;
    world.stdout.write(escapeControls(`nothing was counted of an account ${account}; ${hint}`) + "\n");
    return exitCodes.nothing;
  },
};

/** Without its domain, or in other letters. */
function isNear(name: string, given: string): boolean {
  const [one, other] = [name.toLowerCase(), given.toLowerCase()];
  return one === other || one.startsWith(`${other}@`) || other.startsWith(`${one}@`);
}

function tableOf(rows: readonly ShownSender[], world: World): string {
  return textTable(
    [
      { title: "ACCOUNT" },
      { title: "WHAT" },
      { title: "SENT", align: "right" },
      { title: "LIMIT" },
      { title: "REFUSED", align: "right" },
      { title: "LAST" },
    ],
    rows.map(({ account, what, sent, limit, perMs, refused, lastAt }) => [
      account,
      what,
      String(sent),
      formatRate({ count: limit, perMs }),
      String(refused),
      instantText(lastAt, world.offsetMinutes),
    ]),
  );
}
