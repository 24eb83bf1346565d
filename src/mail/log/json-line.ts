import { harmlessJson } from "../../foundation/escape.ts";
import type { LogEntry } from "./line.ts";
import { shownFields, type EventRecord } from "./record.ts";

/** Longest text of one field; a peer cannot make a line longer than its fields times this. */
const LONGEST_TEXT = 2000;

/** One event as one line of JSON: fixed members first, then the event's own fields. Instants are in UTC. */
export function jsonLine(entry: LogEntry, time: string): string {
  return harmlessJson(jsonMembers(entry.record, time), bound);
}

/** A field of the event's own that is called as one of the fixed members does not take its place: `level` is `ownLevel`. */
export function jsonMembers({ name, level, from, fields }: EventRecord, time: string): object {
  const fixed = { time, level, event: name, role: from.role, pid: from.pid };
  const own = Object.entries(shownFields(fields)).map(([field, value]) => [
    Object.hasOwn(fixed, field) ? `own${field.slice(0, 1).toUpperCase()}${field.slice(1)}` : field,
    value,
  ]);
  return { ...fixed, ...Object.fromEntries(own) };
}

function bound(_name: string, value: unknown): unknown {
  return typeof value === "string" && value.length > LONGEST_TEXT ? `${value.slice(0, LONGEST_TEXT)}...` : value;
}
