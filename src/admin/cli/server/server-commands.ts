import { isAbsolute, join } from "node:path";
import { escapeControls } from "../../../foundation/escape.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, roughSize } from "../text.ts";
import type { World } from "../world.ts";
import type { SpoolCopy } from "../../../mail/queue/store.ts";

/** Commands that change the running server as a whole. */
const plain = { operands: "", leastOperands: 0, mostOperands: 0, options: {} } as const;

export const reload: CliCommand = {
  ...plain,
  name: "reload",
  says: "Lets the server read its settings anew: all of the new ones, or, when anything is wrong, still the old.",
  explains:
    "Prints what changed, or the same errors as `posthorn check`. Sessions under way keep the settings they began with.",
  async run(given, world) {
    const report = await withServer(given, world, "change", (server) => server.call("reload"));
    if (report.kind === "refused") {
      for (const problem of report.problems) world.stderr.write(`${escapeControls(problem)}\n`);
      world.stderr.write("the settings stay as they were\n");
      return exitCodes.settings;
    }
    if (report.changed.length === 0) world.stdout.write("reloaded; no setting changed\n");
    else world.stdout.write(`reloaded; changed: ${report.changed.join(", ")}\n`);
    if (report.needsRestart.length > 0)
      world.stderr.write(`in force only after a restart: ${report.needsRestart.join(", ")}\n`);
    return exitCodes.ok;
  },
};

export const stop: CliCommand = {
  ...plain,
  name: "stop",
  says: "Stops the server in good order: no new connections, running transactions finish within their deadline.",
  async run(given, world) {
    await withServer(given, world, "change", (server) => server.call("stop"));
    world.stdout.write("the server is stopping\n");
    return exitCodes.ok;
  },
};

export const reopen: CliCommand = {
  ...plain,
  name: "reopen",
  says: "Lets the server open its log file anew, after rotation.",
  async run(given, world) {
    await withServer(given, world, "change", (server) => server.call("log.reopen"));
    return exitCodes.ok;
  },
};

const DIRECTIONS = ["in", "out", "local"] as const;

function directionOf(command: CliCommand, word: string | undefined): (typeof DIRECTIONS)[number] {
  const direction = DIRECTIONS.find((known) => known === word);
  if (direction === undefined) throw usage(command, `expected in, out or local, got ${JSON.stringify(word)}`);
  return direction;
}

export const pause: CliCommand = {
  name: "pause",
  operands: "in|out|local",
  leastOperands: 1,
  mostOperands: 1,
  says: "Pauses reception (in), sending (out) or delivery into mailboxes (local). What runs is finished.",
  options: { because: { says: "The reason, for the log and the status.", value: "TEXT" } },
  async run(given, world) {
    const direction = directionOf(pause, given.operands[0]);
    const because = given.text("because") ?? `by ${world.caller.name}`;
    await withServer(given, world, "change", (server) => server.call("pause", { direction, because }));
    world.stdout.write(`${direction} is paused; posthorn resume ${direction} ends that\n`);
    return exitCodes.ok;
  },
};

export const resume: CliCommand = {
  name: "resume",
  operands: "in|out|local",
  leastOperands: 1,
  mostOperands: 1,
  says: "Ends a pause.",
  options: {},
  async run(given, world) {
    const direction = directionOf(resume, given.operands[0]);
    await withServer(given, world, "change", (server) => server.call("resume", { direction }));
    world.stdout.write(`${direction} goes on\n`);
    return exitCodes.ok;
  },
};

export const resumeRoute: CliCommand = {
  name: "resume route",
  operands: "ROUTE",
  leastOperands: 1,
  mostOperands: 1,
  says: "Ends the rest and the penalty of a route: what waits for it is tried now.",
  explains:
    "ROUTE: a next host's name, its address, or address:port; a route as `show routes` writes it; or a relay's domain. What waits because its sender is refused there is tried as well. Exits with 1 when nothing of that name rests, has a penalty or refuses a sender.",
  options: {},
  async run(given, world) {
    const which = given.operands[0] ?? "";
    const { routes } = await withServer(given, world, "change", (server) => server.call("route.resume", { which }));
    world.stdout.write(`${counted(routes, "route")} forgiven\n`);
    return routes > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const backup: CliCommand = {
  name: "backup",
  operands: "DIRECTORY",
  leastOperands: 1,
  mostOperands: 1,
  says: "Copies the running queue, consistent, into an empty directory.",
  explains:
    "The server writes it, so the server's user needs the right to. `posthorn restore` puts it back. Exits with 65 when the queue had lost the content of messages, which are named; all the rest is in the backup.",
  options: {},
  async run(given, world) {
    const named = given.operands[0] ?? "";
    const directory = isAbsolute(named) ? named : join(world.cwd, named);
    const copied = await withServer(given, world, "change", (server) => server.call("backup", { directory }));
    world.stdout.write(
      `${counted(copied.messages, "message")}, ${roughSize(copied.bytes)}, in ${escapeControls(directory)}\n`,
    );
    return tellLost(copied, world);
  },
};

export const restore: CliCommand = {
  name: "restore",
  operands: "DIRECTORY",
  leastOperands: 1,
  mostOperands: 1,
  says: "Puts a backup into the queue's place. The server must not run, and the queue must be empty or absent.",
  explains:
    "What was delivered since the backup was made is delivered again: a backup is for a queue that is lost. Exits with 65 when content that the queue had lost before the backup is still missing.",
  options: {},
  async run(given, world) {
    const named = given.operands[0] ?? "";
    const restored = await world.restore(given.settingsFile, isAbsolute(named) ? named : join(world.cwd, named));
    world.stdout.write(`${counted(restored.messages, "message")}, ${roughSize(restored.bytes)}, restored\n`);
    return tellLost(restored, world);
  },
};

/** A server of an earlier version, on which the program was replaced, says nothing of what is lost. */
function tellLost({ lost }: Partial<SpoolCopy>, world: Pick<World, "stderr">): number {
  if (lost === undefined || lost.count === 0) return exitCodes.ok;
  const more = lost.count > lost.messages.length ? ", ..." : "";
  world.stderr.write(
    `posthorn: all the rest is there, but the content of ${counted(lost.count, "message")} had been lost from the queue before: ` +
      `${escapeControls(lost.messages.join(", "))}${more}\nposthorn: put the files back from an older backup of bodies/, or tell the senders: posthorn queue bounce\n`,
  );
  return exitCodes.dataError;
}
