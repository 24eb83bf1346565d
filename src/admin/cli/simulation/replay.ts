import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import type { Retold } from "../../../mail/scheduler/replay/retold.ts";
import { usage, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { parseInstant } from "../instant.ts";
import { durationOf } from "../selector.ts";
import { instantText } from "../text.ts";
import type { OpenJournal, World } from "../world.ts";

const AN_HOUR_MS = 3_600_000;

export const replay: CliCommand = {
  name: "replay",
  operands: "[ENVELOPE|MESSAGE|DOMAIN|HOST]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Runs the scheduler again over what the journal recorded of its inputs, and prints what it decided, and why then.",
  explains:
    "Reads the journal's file itself, so it needs the right to, and no server; it changes nothing. The recording (`journal.inputs`) is let go after two days or 256 MiB, and rests while the queue is larger than some thousand envelopes when a new start is due: gaps are told. Exits with 1 when nothing was recorded or matches.",
  options: {
    since: {
      says: "From so long ago (10m, 4h), or from an instant (02:30, 2026-11-21 02:30); an hour, if nothing is said.",
      value: "TIME",
    },
    until: { says: "To an instant; to the end, if nothing is said.", value: "TIME" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const now = world.now();
    const fromAt = instantOf(given, "since", world) ?? now - AN_HOUR_MS;
    const untilAt = instantOf(given, "until", world) ?? Infinity;
    const { journalFile } = await world.locate(given.settingsFile);
    using journal = opened(journalFile, world);
    // The scheduler, which no other command needs.
    const { retell } = await import("../../../mail/scheduler/replay/retold.ts");
    let isAny = false;
    let isFirst = true;
    for (const told of retell(journal.inputs(fromAt), { about: given.operands[0], fromAt, untilAt })) {
      if (isFirst && told.at > fromAt)
        note(world, `the recording begins only at ${instantText(told.at, world.offsetMinutes)}`);
      isFirst = false;
      isAny ||= told.kind === "step";
      if (given.has("json")) world.stdout.write(`${harmlessJson(told)}\n`);
      else tell(told, world);
      await world.stdout.room();
    }
    if (isFirst) note(world, "nothing was recorded: see journal.inputs in the settings");
    else if (!isAny) note(world, "the recording says nothing of that");
    return isAny ? exitCodes.ok : exitCodes.nothing;
  },
};

function tell(told: Retold, world: World): void {
  const at = instantText(told.at, world.offsetMinutes);
  if (told.kind === "step") world.stdout.write(`${at} ${escapeControls(told.text)}\n`);
  else if (told.kind === "broken")
    note(world, `${at}: what follows was recorded by another version and cannot be replayed: ${told.because}`);
  else if (told.isGap) note(world, `${at}: some of what came before was not recorded; from here on it is again`);
}

function note(world: World, text: string): void {
  world.stderr.write(`(${escapeControls(text)})\n`);
}

function opened(path: string, world: World): OpenJournal {
  try {
    return world.openJournal(path);
  } catch (thrown) {
    throw new PosthornError("CONTROL_REFUSED", {
      message: `the journal ${path} cannot be read: ${messageOf(thrown)}`,
      advice: "there is one only with journal.enabled; read it as the server's user or as root",
      cause: thrown,
    });
  }
}

/** A duration back from now, or an instant; a time of day is the last one that was. */
function instantOf(given: Given, option: "since" | "until", world: World): number | undefined {
  const text = given.text(option);
  if (text === undefined) return undefined;
  const now = world.now();
  if (/^\d+(\.\d+)?[a-z]+/i.test(text)) return now - (durationOf(replay, given, option) ?? 0);
  const parsed = parseInstant(text, now, world.offsetMinutes);
  if (!parsed.ok) throw usage(replay, `--${option}: expected a duration or ${parsed.problem.expected}`);
  const isTimeOfDay = /^\s*\d\d:/.test(text);
  return isTimeOfDay && parsed.value > now ? parsed.value - 24 * AN_HOUR_MS : parsed.value;
}
