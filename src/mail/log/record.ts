import type { EventDeclaration, FieldDeclaration, FieldsOf, Level } from "../../foundation/events.ts";

/**
 * One event on its way from a stage to the sinks: plain data, so that a batch crosses a process boundary as one string.
 * Records of one emitter share their `from`.
 */
export interface EventRecord {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly name: string;
  readonly level: Level;
  readonly from: ProcessIdentity;
  readonly fields: Fields;
}

/** Who emitted. `startedAt` tells two lives of one process id apart. */
export interface ProcessIdentity {
  readonly role: string;
  readonly pid: number;
  readonly startedAt: number;
}

export type FieldValue = string | number | boolean | readonly string[] | undefined;
export type Fields = Readonly<Record<string, FieldValue>>;

/** The one field of kind `data`: for the journal's own tables, and in no line, no JSON and no subscriber's record. */
export const DETAILS = "details";

/** The fields that sinks and readers get. */
export function shownFields(fields: Fields): Fields {
  if (fields[DETAILS] === undefined) return fields;
  const { [DETAILS]: _, ...shown } = fields;
  return shown;
}

/** The record without what is the journal's alone; the same one where there is nothing of it. */
export function withoutDetails(record: EventRecord): EventRecord {
  return record.fields[DETAILS] === undefined ? record : { ...record, fields: shownFields(record.fields) };
}

/** How much is wanted: each level includes those before it. */
const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, info: 2, debug: 3 };

export function isWanted(level: Level, most: Level): boolean {
  return RANK[level] <= RANK[most];
}

export function recordOf<Declared extends Record<string, FieldDeclaration>>(
  at: number,
  from: ProcessIdentity,
  event: EventDeclaration<Declared>,
  fields: FieldsOf<Declared>,
): EventRecord {
  return { at, name: event.name, level: event.level, from, fields };
}

/** A batch as one string: an array with one `[from, [[at, name, level, fields], …]]` for each emitter in turn. */
export function encodeRecords(records: readonly EventRecord[]): string {
  const groups: [ProcessIdentity, [number, string, Level, Fields][]][] = [];
  for (const record of records) {
    let group = groups.at(-1);
    if (group === undefined || group[0] !== record.from) groups.push((group = [record.from, []]));
    group[1].push([record.at, record.name, record.level, record.fields]);
  }
  return JSON.stringify(groups);
}

/** Reads what `encodeRecords` wrote; for strings of our own processes only, so a malformed one is a bug and throws. */
export function decodeRecords(text: string): readonly EventRecord[] {
  const groups = JSON.parse(text) as [ProcessIdentity, [number, string, Level, Fields][]][];
  return groups.flatMap(([from, rows]) => rows.map(([at, name, level, fields]) => ({ at, name, level, from, fields })));
}
