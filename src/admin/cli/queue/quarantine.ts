import { harmlessJson } from "../../../foundation/escape.ts";
import type { LiveRow } from "../../../mail/scheduler/admin/admin.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import { withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { queueShow } from "./queue-show.ts";
import { selectorOptions, selectorsOf, senderNamed } from "../selector.ts";
import { counted, roughDuration, roughSize, senderText } from "../text.ts";
import { tableWriter } from "../text-table.ts";
import type { World } from "../world.ts";

/** Mail that a filter put aside: to be looked at, let go, or thrown away. */
export const quarantineList: CliCommand = {
  name: "quarantine list",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Lists what filters have put into quarantine.",
  explains: "One line for each envelope. Exits with 1 when there is nothing.",
  options: {
    filter: { says: "Only what this filter put there.", value: "NAME" },
    sender: { says: "Only mail of this sender; `<>` for the null sender.", value: "ADDRESS" },
    domain: { says: "Only mail to this recipient domain.", value: "DOMAIN" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const now = world.now();
    const name = given.text("filter");
    const sender = given.text("sender");
    const domain = given.text("domain");
    const filter = {
      state: "held" as const,
      sender: sender === undefined ? undefined : senderNamed(sender),
      domain: domain === undefined ? undefined : foldDomain(domain),
    };
    const table = tableWriter(COLUMNS);
    let isEmpty = true;
    await withServer(given, world, "query", async (server) => {
      for await (const rows of server.portions("queue.list", filter)) {
        const found = rows.filter(
          ({ quarantine }) => quarantine !== undefined && (name === undefined || quarantine.filter === name),
        );
        if (found.length === 0) continue;
        isEmpty = false;
        world.stdout.write(
          given.has("json")
            ? found.map((row) => `${harmlessJson(row)}\n`).join("")
            : table(found.map((row) => cellsOf(row, now))),
        );
        await world.stdout.room();
      }
    });
    if (isEmpty && !given.has("json")) world.stderr.write("nothing in quarantine matches\n");
    return isEmpty ? exitCodes.nothing : exitCodes.ok;
  },
};

const COLUMNS = [
  { title: "ENVELOPE" },
  { title: "AGE", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "SENDER" },
  { title: "RECIPIENT" },
  { title: "REMOVED IN", align: "right" },
  { title: "FILTER" },
  { title: "WHY" },
] as const;

function cellsOf(row: LiveRow, now: number): readonly string[] {
  return [
    row.envelope,
    roughDuration(now - row.receivedAt),
    roughSize(row.sizeBytes),
    senderText(row.sender),
    row.recipient,
    row.heldUntilAt === undefined ? "-" : roughDuration(row.heldUntilAt - now),
    row.quarantine?.filter ?? "",
    row.quarantine?.because ?? "",
  ];
}

export const quarantineShow: CliCommand = {
  ...queueShow,
  name: "quarantine show",
  says: "Shows a message in quarantine: where it came from, its envelopes, and with --headers or --body what it says.",
};

export const quarantineRelease: CliCommand = {
  name: "quarantine release",
  operands: "[MESSAGE|ENVELOPE]...",
  leastOperands: 0,
  mostOperands: 1000,
  says: "Lets mail out of quarantine: it is delivered as it would have been.",
  explains: "Mail that is held for another reason is not concerned. Exits with 1 when nothing matches.",
  options: selectorOptions,
  run: (given, world) =>
    changing(quarantineRelease, given, world, "released", (server, selector) =>
      server.call("queue.release", { selector, quarantined: true }),
    ),
};

export const quarantineRemove: CliCommand = {
  name: "quarantine remove",
  operands: "[MESSAGE|ENVELOPE]...",
  leastOperands: 0,
  mostOperands: 1000,
  says: "Throws away mail in quarantine. Its senders are not told.",
  explains: "Exits with 1 when nothing matches.",
  options: { ...selectorOptions, because: { says: "The reason, for the log.", value: "TEXT" } },
  run: (given, world) =>
    changing(quarantineRemove, given, world, "removed", (server, selector) =>
      server.call("queue.remove", {
        selector,
        because: given.text("because") ?? `by ${world.caller.name}`,
        quarantined: true,
      }),
    ),
};

type Server = Parameters<Parameters<typeof withServer>[3]>[0];
type Selector = ReturnType<typeof selectorsOf>[number];

async function changing(
  command: CliCommand,
  given: Given,
  world: World,
  done: string,
  change: (server: Server, selector: Selector) => Promise<{ readonly envelopes: number }>,
): Promise<number> {
  const selectors = selectorsOf(command, given);
  const envelopes = await withServer(given, world, "change", async (server) => {
    let sum = 0;
    for (const selector of selectors) sum += (await change(server, selector)).envelopes;
    return sum;
  });
  world.stdout.write(`${counted(envelopes, "envelope")} ${done}\n`);
  return envelopes > 0 ? exitCodes.ok : exitCodes.nothing;
}
