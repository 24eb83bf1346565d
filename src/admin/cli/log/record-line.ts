import { harmlessJson } from "../../../foundation/escape.ts";
import { jsonMembers } from "../../../mail/log/json-line.ts";
import { entryOf, tagOf } from "../../../mail/log/line.ts";
import type { EventRecord } from "../../../mail/log/record.ts";
import { instantText, isoText } from "../text.ts";
import type { World } from "../world.ts";

const RED = "\u001b[31m";
const YELLOW = "\u001b[33m";
const PLAIN = "\u001b[0m";

/** The log's line with the day in full; colour for what is wrong, on a terminal. Undefined for events without a line. */
export function recordLine(
  record: EventRecord,
  world: Pick<World, "catalogue" | "offsetMinutes" | "stdout" | "env">,
): string | undefined {
  const entry = entryOf(record, world.catalogue.find(record.name));
  if (entry.text === undefined) return undefined;
  const line = `${instantText(record.at, world.offsetMinutes)} ${tagOf(entry)}: ${entry.text}`;
  const isPlain = !world.stdout.isTerminal || (world.env["NO_COLOR"] ?? "") !== "";
  if (isPlain || record.level === "info" || record.level === "debug") return line;
  return `${record.level === "error" ? RED : YELLOW}${line}${PLAIN}`;
}

export function recordJson(record: EventRecord): string {
  return harmlessJson(jsonMembers(record, isoText(record.at)));
}
