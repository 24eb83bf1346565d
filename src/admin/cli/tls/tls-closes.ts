import { harmlessJson } from "../../../foundation/escape.ts";
import { summarizeCloses, type CloseSummary } from "../../../mail/log/tls-closes.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { askTls, selectionOf, selectionOptions } from "./tls-ask.ts";
import type { World } from "../world.ts";

const MOST_SHOWN = 50;

export const tlsCloses: CliCommand = {
  name: "tls closes",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Counts how TLS connections ended, by peer and direction: with the peer's close_notify or without.",
  explains:
    "An unclean end after QUIT loses nothing; LOST counts those inside content. Exits with 1 when no connection ended in that time.",
  options: { ...selectionOptions, all: { says: "Every peer, not only the fifty with the most unclean ends." } },
  async run(given, world) {
    const selection = selectionOf(tlsCloses, given, world);
    const { counts, isCut } = await askTls({ ask: "closes", ...selection }, given, world);
    const { peers, all } = summarizeCloses(counts);
    if (given.has("json")) for (const summary of peers) world.stdout.write(`${harmlessJson(summary)}\n`);
    else if (peers.length === 0) world.stdout.write("no TLS connection ended in that time\n");
    else world.stdout.write(tableOf(given.has("all") ? peers : peers.slice(0, MOST_SHOWN), all, world));
    if (!given.has("json") && !given.has("all") && peers.length > MOST_SHOWN)
      world.stdout.write(`${peers.length - MOST_SHOWN} more peers: --all\n`);
    if (isCut)
      world.stderr.write(
        `only the ${counts.length} most frequent ways that connections ended are counted, so that rare peers are missing: ask for less (--since, --peer)\n`,
      );
    return peers.length === 0 ? exitCodes.nothing : exitCodes.ok;
  },
};

function tableOf(peers: readonly CloseSummary[], all: readonly CloseSummary[], world: World): string {
  const row = (peer: string, one: CloseSummary): readonly string[] => [
    peer,
    one.direction,
    String(one.total),
    String(one.clean),
    String(one.unclean),
    String(one.losses),
    [
      ...Object.entries(one.how).map(([ending, count]) => `${ending} ${count}`),
      ...(one.unknown > 0 ? [`unknown ${one.unknown}`] : []),
    ].join(", "),
    instantText(one.lastAt, world.offsetMinutes),
  ];
  return textTable(
    [
      { title: "PEER" },
      { title: "WAY" },
      { title: "ENDS", align: "right" },
      { title: "CLEAN", align: "right" },
      { title: "UNCLEAN", align: "right" },
      { title: "LOST", align: "right" },
      { title: "HOW" },
      { title: "LAST" },
    ],
    [...peers.map((one) => row(one.peer, one)), ...all.map((one) => row("all", one))],
  );
}
