import { harmlessJson } from "../../../foundation/escape.ts";
import type { ShownRow } from "../../../mail/scheduler/admin/shown-row.ts";
import { ROW_STATES } from "../../../mail/scheduler/admin/shown-row.ts";
import { type RowState } from "../../../mail/scheduler/admin/shown-row.ts";
import { type Shown } from "../../../mail/scheduler/admin/shown-row.ts";
import { withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { countOf, wordOf } from "../selector.ts";
import { roughDuration } from "../text.ts";
import { tableWriter } from "../text-table.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";
import type { World } from "../world.ts";

/** Five commands that differ in what they show. */
function showCommand(what: Shown, says: string): CliCommand {
  const command: CliCommand = {
    name: `show ${what}`,
    operands: "[NAME]",
    leastOperands: 0,
    mostOperands: 1,
    says,
    explains:
      "FLAGS: N new, nothing was tried yet; R running, a connection is open; Z resting after a failure; Q queued, something waits or is due; H something is held. " +
      "CONN: connections open / allowed just now / at most. ERR: failures since the start, REF: recipients refused. PEN: penalty. RESTS: for so long. " +
      "What rests comes first, then what has a penalty, then what has most waiting. NAME: only names with this in them. Exits with 1 when there is nothing to show.",
    options: {
      state: { says: "Only those that are new, running, resting, queued or held.", value: "STATE" },
      limit: { says: "No more than so many.", value: "COUNT" },
      watch: watchOption,
      json: { says: "One JSON object a line." },
    },
    async run(given, world) {
      const isJson = given.has("json");
      const everyMs = watchMsOf(command, given);
      if (everyMs === undefined) {
        const isEmpty = !(await rowsOf(command, what, given, world, (text) => world.stdout.write(text)));
        if (isEmpty && !isJson) world.stderr.write(`no ${what} to show\n`);
        return isEmpty ? exitCodes.nothing : exitCodes.ok;
      }
      return watching(everyMs, world, isJson, async () => {
        let text = "";
        const most = world.stdout.isTerminal ? world.stdout.rows : undefined;
        if (!(await rowsOf(command, what, given, world, (part) => (text += part), most)) && !isJson)
          return `no ${what} to show\n`;
        return text;
      });
    },
  };
  return command;
}

async function rowsOf(
  command: CliCommand,
  what: Shown,
  given: Given,
  world: World,
  write: (text: string) => void,
  most?: number,
): Promise<boolean> {
  const limit = countOf(command, given, "limit") ?? most;
  const filter = { what, name: given.operands[0], state: wordOf(command, given, "state", ROW_STATES), limit };
  const table = tableWriter(COLUMNS);
  let isAny = false;
  await withServer(given, world, "query", async (server) => {
    for await (const rows of server.portions("show", filter)) {
      isAny = true;
      const now = world.now();
      write(
        given.has("json")
          ? rows.map((row) => `${harmlessJson(row)}\n`).join("")
          : table(rows.map((row) => cellsOf(row, now))),
      );
      await world.stdout.room();
    }
  });
  return isAny;
}

const COLUMNS = [
  { title: "FLAGS" },
  { title: "NAME" },
  { title: "CONN", align: "right" },
  { title: "SESS", align: "right" },
  { title: "ERR", align: "right" },
  { title: "REF", align: "right" },
  { title: "PEN", align: "right" },
  { title: "RESTS", align: "right" },
  { title: "READY", align: "right" },
  { title: "WAIT", align: "right" },
  { title: "HELD", align: "right" },
  { title: "WORKED", align: "right" },
  { title: "LAST FAILURE" },
] as const;

const LETTERS: Readonly<Record<RowState, string>> = { new: "N", running: "R", resting: "Z", queued: "Q", held: "H" };

/** `-RZQ-`: a letter for each state that holds, in a place of its own. */
export function flagsOf(states: readonly RowState[]): string {
  return ROW_STATES.map((state) => (states.includes(state) ? LETTERS[state] : "-")).join("");
}

function cellsOf(row: ShownRow, now: number): readonly string[] {
  const some = (count: number): string => (count === 0 ? "" : String(count));
  const ago = (at: number | undefined): string => (at === undefined ? "" : roughDuration(now - at));
  const failed = row.lastFailure === undefined ? undefined : `${row.lastFailure}${agoText(row.lastFailureAt, now)}`;
  return [
    flagsOf(row.states),
    row.name,
    `${row.connections}/${row.allowed}/${row.limit}`,
    some(row.sessions),
    some(row.failures),
    some(row.refused),
    some(row.penalty),
    row.restsUntilAt === undefined ? "" : roughDuration(Math.max(0, row.restsUntilAt - now)),
    some(row.ready),
    some(row.waiting),
    some(row.held),
    ago(row.lastSuccessAt),
    [row.note, failed].filter((part) => part !== undefined).join("; "),
  ];
}

function agoText(at: number | undefined, now: number): string {
  return at === undefined ? "" : ` (${roughDuration(now - at)} ago)`;
}

export const showRoutes = showCommand(
  "routes",
  "Shows the routes in use, from one of our addresses to one address of a next host: what rests, since when and why.",
);
export const showRelays = showCommand(
  "relays",
  "Shows what envelopes go to: domains and smarthosts, with what is ready and what waits there.",
);
export const showHosts = showCommand("hosts", "Shows the next hosts by address, from all our addresses together.");
export const showSources = showCommand("sources", "Shows our own addresses and what goes out from them.");
export const showDomains = showCommand("domains", "Shows recipient domains with what is ready, waits and is held.");
