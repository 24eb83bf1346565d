import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { ShownSuspension } from "../../../mail/scheduler/admin/admin.ts";
import { SUSPENSION_LEVELS, type SuspensionLevel } from "../../../mail/scheduler/suspension/suspension.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { durationOf, idOf } from "../selector.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

/** Standing holds: they catch what comes later, too. `queue hold` is for what is there. */
const WHAT =
  "WHAT is sender ADDRESS (or @DOMAIN, or <> for the null sender), domain DOMAIN (of recipients), relay, host or route NAME " +
  "(as `posthorn show` has it), tenant NAME, message ID, envelope ID, or all.";

interface Suspended {
  readonly level: SuspensionLevel;
  readonly key: string;
}

function whatOf(command: CliCommand, [word, name, ...more]: readonly string[]): Suspended {
  const level = SUSPENSION_LEVELS.find((known) => known === word);
  if (level === undefined)
    throw usage(command, `expected ${SUSPENSION_LEVELS.join(", ")}, got ${JSON.stringify(word ?? "")}`);
  if (level === "all") {
    if (name !== undefined) throw usage(command, "all is everything: no name belongs to it");
    return { level, key: "*" };
  }
  if (name === undefined) throw usage(command, `say which ${level}`);
  // A route is written with blanks: `192.0.2.1 > mx.example[198.51.100.1]:25`.
  const key = level === "route" ? [name, ...more].join(" ") : name;
  if (level !== "route" && more.length > 0) throw usage(command, `${JSON.stringify(more[0])} is one argument too many`);
  if (level === "message" || level === "envelope") return { level, key: idOf(command, key) };
  return { level, key };
}

export const suspend: CliCommand = {
  name: "suspend",
  operands: "WHAT [NAME]",
  leastOperands: 1,
  mostOperands: 4,
  says: "Suspends something: its mail, also what comes later, is not tried until `unsuspend` or the end.",
  explains:
    `${WHAT} Holds over restarts. What is being tried is finished. Suspended mail is not warned about and does not expire; ` +
    "the time does not count. Said again it changes reason and end.",
  options: {
    for: { says: "Ends by itself after this time (2h, 1d).", value: "DURATION" },
    because: { says: "The reason, for the log and for who looks later.", value: "TEXT" },
  },
  async run(given, world) {
    const what = whatOf(suspend, given.operands);
    // What no route is ever called would hold nothing, and nobody would be told.
    if (what.level === "route" && !/[[>]/.test(what.key))
      throw usage(
        suspend,
        `expected a route as \`posthorn show routes\` has it (192.0.2.1 > mx.example[198.51.100.1]:25), got ${JSON.stringify(what.key)}; ` +
          "a next host by its name or address is a host",
      );
    const forMs = durationOf(suspend, given, "for");
    const wish = {
      ...what,
      because: given.text("because") ?? "no reason given",
      by: world.caller.name,
      ...(forMs === undefined ? {} : { untilAt: world.now() + forMs }),
    };
    const { envelopes } = await withServer(given, world, "change", (server) => server.call("suspend", wish));
    const end =
      wish.untilAt === undefined ? "until it is lifted" : `until ${instantText(wish.untilAt, world.offsetMinutes)}`;
    world.stdout.write(
      `suspended ${escapeControls(textOf(what))} ${end}; ${counted(envelopes, "envelope")} held by it now, others when they are due\n`,
    );
    return exitCodes.ok;
  },
};

export const unsuspend: CliCommand = {
  name: "unsuspend",
  operands: "WHAT [NAME]",
  leastOperands: 1,
  mostOperands: 4,
  says: "Lifts a suspension; what it held is due at once.",
  explains: `${WHAT} \`posthorn holds\` shows what is suspended. Exits with 1 when it is not.`,
  options: {},
  async run(given, world) {
    const what = whatOf(unsuspend, given.operands);
    const lifted = await withServer(given, world, "change", (server) =>
      server.call("unsuspend", { ...what, by: world.caller.name }),
    );
    // A call without a value answers with an empty list.
    if (lifted === undefined || !("envelopes" in lifted)) {
      world.stderr.write(`${escapeControls(textOf(what))} is not suspended; posthorn holds shows what is\n`);
      return exitCodes.nothing;
    }
    world.stdout.write(
      `${escapeControls(textOf(what))} is not suspended any more; ${counted(lifted.envelopes, "envelope")} due now\n`,
    );
    return exitCodes.ok;
  },
};

export const holds: CliCommand = {
  name: "holds",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what is suspended: by whom, since when, until when, why, and how many envelopes each holds.",
  explains:
    "HELD counts what is due; what still waits for its time is held when that comes. " +
    "Envelopes that `queue hold` holds are shown by `posthorn queue list --state held`. Exits with 1 when nothing is suspended.",
  options: { json: { says: "One JSON object a line." } },
  async run(given, world) {
    const rows = await withServer(given, world, "query", (server) => server.call("suspensions"));
    if (given.has("json")) for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    else if (rows.length === 0) world.stdout.write("nothing is suspended\n");
    else world.stdout.write(tableOf(rows, world));
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function textOf({ level, key }: Suspended): string {
  return level === "all" ? "everything" : `${level} ${key}`;
}

function tableOf(rows: readonly ShownSuspension[], world: World): string {
  const now = world.now();
  return textTable(
    [
      { title: "WHAT" },
      { title: "NAME" },
      { title: "HELD", align: "right" },
      { title: "SINCE" },
      { title: "ENDS IN" },
      { title: "BY" },
      { title: "WHY" },
    ],
    rows.map(({ level, key, held, setAt, untilAt, by, because }) => [
      level,
      key,
      String(held),
      instantText(setAt, world.offsetMinutes),
      untilAt === undefined ? "never" : roughDuration(Math.max(0, untilAt - now)),
      by,
      because,
    ]),
  );
}
