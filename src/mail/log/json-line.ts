import type { LogEntry } from "./line.ts";
import type { FieldValue } from "./record.ts";

/** Longest text of one field; a peer cannot make a line longer than its fields times this. */
const LONGEST_TEXT = 2000;
/** What JSON leaves as it is but a terminal or a line reader acts on. In JSON these occur only inside strings. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** One event as one line of JSON: fixed members first, then the event's own fields. Instants are in UTC. */
export function jsonLine(entry: LogEntry, time: string): string {
  const { record } = entry;
  const { from } = record;
  const head = { time, level: record.level, event: record.name, role: from.role, pid: from.pid };
  return JSON.stringify({ ...head, ...record.fields }, bound).replace(UNSAFE, asEscape);
}

function bound(_name: string, value: FieldValue): FieldValue {
  return typeof value === "string" && value.length > LONGEST_TEXT ? `${value.slice(0, LONGEST_TEXT)}...` : value;
}

function asEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
