import { isIP } from "node:net";
import { PosthornError } from "../../../foundation/error.ts";
import { harmlessJson } from "../../../foundation/escape.ts";
import type { GreylistRow } from "../../../mail/envelope/restrictions/greylist-store.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

export const greylistList: CliCommand = {
  name: "greylist list",
  operands: "[TEXT]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Shows what greylisting remembers: who waits, who came again, and networks that are let in; the last seen first.",
  explains:
    "TEXT is a part of a network, a sender or a recipient. At most 10,000 are shown. Exits with 1 when there is nothing.",
  options: {
    waiting: { says: "Only those who have not come again." },
    passed: { says: "Only those who have." },
    networks: { says: "Only networks." },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const [text] = given.operands;
    const states = (["waiting", "passed", "networks"] as const).filter((one) => given.has(one));
    if (states.length > 1)
      throw new PosthornError("USAGE", {
        message: `--${states.join(" and --")} do not go together`,
        advice: "name one of them, or none for all",
      });
    const [state] = states;
    const rows = await withServer(given, world, "query", (server) =>
      server.call("greylist.list", {
        ...(state === undefined ? {} : { state }),
        ...(text === undefined ? {} : { text }),
      }),
    );
    if (given.has("json")) for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    else world.stdout.write(rows.length === 0 ? "nothing is remembered\n" : tableOf(rows, world));
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const greylistRemove: CliCommand = {
  name: "greylist remove",
  operands: "WHAT",
  leastOperands: 1,
  mostOperands: 1,
  says: "Forgets what greylisting remembers of a network, a sender, a recipient, or of all senders and recipients of a domain.",
  explains: "WHAT as `greylist list` has it. Exits with 1 when nothing was remembered of it.",
  options: {},
  async run(given, world) {
    const [which = ""] = given.operands;
    const { removed } = await withServer(given, world, "change", (server) => server.call("greylist.remove", { which }));
    world.stdout.write(removed === 0 ? "nothing was remembered of it\n" : `${removed} forgotten\n`);
    return removed > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const greylistAllow: CliCommand = {
  name: "greylist allow",
  operands: "ADDRESS",
  leastOperands: 1,
  mostOperands: 1,
  says: "Lets the network of an address in at once from now on, until it is removed.",
  explains:
    "How large that network is the greylist's settings say. What is to be let in by whole networks or names stands better in the settings, as `permit`. Exits with 1 when the settings have no greylist.",
  options: {},
  async run(given, world) {
    const [address = ""] = given.operands;
    if (isIP(address) === 0)
      throw new PosthornError("USAGE", {
        message: `${address} is no address`,
        advice: "give an IPv4 or IPv6 address; whole networks go into `permit`",
      });
    const { networks } = await withServer(given, world, "change", (server) =>
      server.call("greylist.allow", { address }),
    );
    world.stdout.write(networks.length === 0 ? "the settings have no greylist\n" : `let in: ${networks.join(", ")}\n`);
    return networks.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly GreylistRow[], world: World): string {
  return textTable(
    [
      { title: "STATE" },
      { title: "NETWORK" },
      { title: "SENDER" },
      { title: "RECIPIENT" },
      { title: "FIRST" },
      { title: "LAST" },
      { title: "CAME AGAIN", align: "right" },
    ],
    rows.map(({ state, network, sender = "", recipient = "", firstAt, lastAt, passes }) => [
      state,
      network,
      sender,
      recipient,
      firstAt === undefined ? "" : instantText(firstAt, world.offsetMinutes),
      instantText(lastAt, world.offsetMinutes),
      passes === undefined ? "" : String(passes),
    ]),
  );
}
