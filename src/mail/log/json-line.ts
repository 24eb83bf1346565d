import { harmlessJson } from "../../foundation/escape.ts";
import type { LogEntry } from "./line.ts";
import { shownFields } from "./record.ts";

/** Longest text of one field; a peer cannot make a line longer than its fields times this. */
const LONGEST_TEXT = 2000;

/** One event as one line of JSON: fixed members first, then the event's own fields. Instants are in UTC. */
export function jsonLine(entry: LogEntry, time: string): string {
  const { record } = entry;
  const { from } = record;
  const head = { time, level: record.level, event: record.name, role: from.role, pid: from.pid };
  return harmlessJson({ ...head, ...shownFields(record.fields) }, bound);
}

function bound(_name: string, value: unknown): unknown {
  return typeof value === "string" && value.length > LONGEST_TEXT ? `${value.slice(0, LONGEST_TEXT)}...` : value;
}
