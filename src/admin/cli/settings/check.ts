import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Change, Comparison, QueuedMail } from "./policy-world.ts";
import { countOf, durationOf } from "../selector.ts";
import type { World } from "../world.ts";

const DAY_MS = 86_400_000;
const MOST_RECORDS = 10_000;
const MOST_QUEUED = 100_000;

export const check: CliCommand = {
  name: "check",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Checks the settings with every certificate, key and table they name, like `posthornd -n`; databases are asked.",
  explains:
    "Problems are told as FILE:LINE:COLUMN. Exits with 78 when the server would not start with them; a database that cannot be reached, or a query that it refuses, is a warning. With --compare it says as well which of the recipients that the journal knows, and which envelopes in the queue, would be treated otherwise than by the settings OLD: what was refused and would be accepted, what would go elsewhere. Both settings judge each of them anew, up to RCPT and without network; what only the DNS, a database or a filter elsewhere could say, says nothing on either side. It exits with 0, whatever differs.",
  options: {
    compare: { says: "The settings before, to compare with.", value: "OLD" },
    journal: { says: "With --compare: the journal to take sessions from (the server's).", value: "FILE" },
    since: { says: "With --compare: sessions of so long ago (1d).", value: "AGE" },
    limit: { says: `With --compare: the newest so many records (${MOST_RECORDS}, the most).`, value: "COUNT" },
    json: { says: "With --compare: as one JSON object." },
  },
  async run(given, world) {
    const old = given.text("compare");
    for (const option of ["journal", "since", "limit", "json"])
      if (old === undefined && given.has(option)) throw usage(check, `--${option} goes with --compare`);
    const { file, isFine, lines } = await world.checkSettings(given.settingsFile);
    for (const line of lines) world.stderr.write(`${escapeControls(line)}\n`);
    if (isFine && !given.has("json"))
      world.stdout.write(
        file === undefined
          ? "the built-in settings are fine; no settings file was found (-f FILE names one)\n"
          : `${escapeControls(file)}: the settings are fine\n`,
      );
    if (!isFine) return exitCodes.settings;
    if (old === undefined) return exitCodes.ok;
    const comparison = await world.comparePolicy({
      settingsFile: given.settingsFile,
      old,
      journal: given.text("journal"),
      sinceAt: world.now() - (durationOf(check, given, "since") ?? DAY_MS),
      most: Math.min(countOf(check, given, "limit") ?? MOST_RECORDS, MOST_RECORDS),
      queued: await queuedMail(given, world),
    });
    world.stdout.write(
      given.has("json") ? `${harmlessJson(comparison)}\n` : `${linesOf(comparison).map(escapeControls).join("\n")}\n`,
    );
    return exitCodes.ok;
  },
};

/** What waits, as the server says; undefined where none runs, or another journal is looked at. */
async function queuedMail(given: Given, world: World): Promise<readonly QueuedMail[] | undefined> {
  try {
    return await withServer(given, world, "query", async (server) => {
      const mail: QueuedMail[] = [];
      for await (const rows of server.portions("queue.list", { limit: MOST_QUEUED }))
        for (const { envelope, sender, recipient, action } of rows) mail.push({ envelope, sender, recipient, action });
      return mail;
    });
  } catch (thrown) {
    if (thrown instanceof PosthornError && thrown.code.startsWith("CONTROL_")) return undefined;
    throw thrown;
  }
}

function linesOf({ sessions, unclear, queued, hasQueue, changes }: Comparison): readonly string[] {
  const queue = hasQueue ? `${queued} in the queue` : "no queue, for no server answers";
  const left = unclear === 0 ? "" : `; ${unclear} more were refused before they named one`;
  return [
    `compared: ${sessions} recipients of sessions${left}; ${queue}`,
    ...(changes.length === 0 ? ["all of them would be treated the same"] : changes.flatMap(changeLines)),
  ];
}

function changeLines({ of, before, after, count, examples }: Change): readonly string[] {
  return [
    "",
    `${count} ${of === "queue" ? (count === 1 ? "envelope" : "envelopes") : count === 1 ? "recipient" : "recipients"}`,
    `  before  ${before}`,
    `  after   ${after}`,
    ...examples.map((example) => `    ${example}`),
    ...(count > examples.length ? [`    … and ${count - examples.length} more`] : []),
  ];
}
