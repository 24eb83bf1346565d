import type { DatabaseKind } from "../../foundation/database-format.ts";
import type { SetAside } from "../../foundation/damaged-database.ts";
import { numberOfMessageId, partsOfEnvelopeId } from "../../foundation/ids.ts";
import type { Level } from "../../foundation/events.ts";
import { DETAILS, shownFields, type EventRecord, type Fields, type ProcessIdentity } from "./record.ts";
import type { Bufferable } from "./sink.ts";
import type { JournalSettings } from "./settings.ts";
import { TLS_SCHEMA } from "./tls-journal.ts";

/**
 * The journal: every event, kept in SQLite (`<state>/journal/journal.db`) for `posthorn log` and plain SQL. It is written
 * by one thread from a bounded buffer; mail never waits for it, and losing its newest second loses no mail.
 *
 * `events` (a view) is what people query; `entry` is how it is kept: ids rise with time (milliseconds × 1024 and a count), so that
 * the oldest go by a range of the primary key, and the columns with an index are those that stories are asked by.
 * Message and session ids rise too, so their indexes grow at the end; addresses are few per message.
 */
export const JOURNAL_SCHEMA = `
CREATE TABLE IF NOT EXISTS process (
  id INTEGER PRIMARY KEY, role TEXT NOT NULL, pid INTEGER NOT NULL, started_at INTEGER NOT NULL,
  UNIQUE (role, pid, started_at)
) STRICT;
CREATE TABLE IF NOT EXISTS name (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, level TEXT NOT NULL, UNIQUE (name, level)
) STRICT;
CREATE TABLE IF NOT EXISTS entry (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, name INTEGER NOT NULL, process INTEGER NOT NULL,
  session TEXT, message TEXT, recipient TEXT, sender TEXT, peer TEXT, fields TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entry_message ON entry (message) WHERE message IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_session ON entry (session) WHERE session IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_recipient ON entry (recipient COLLATE NOCASE) WHERE recipient IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_sender ON entry (sender COLLATE NOCASE) WHERE sender IS NOT NULL;
CREATE VIEW IF NOT EXISTS events AS
  SELECT entry.id AS id, strftime('%Y-%m-%d %H:%M:%f', entry.at / 1000.0, 'unixepoch') AS time, entry.at AS at,
    name.name AS event, name.level AS level, process.role AS role, process.pid AS pid,
    process.started_at AS process_started_at, entry.session AS session, entry.message AS message,
    entry.fields ->> 'envelope' AS envelope, entry.recipient AS recipient, entry.sender AS sender, entry.peer AS peer,
    entry.fields AS fields
  FROM entry JOIN name ON name.id = entry.name JOIN process ON process.id = entry.process;
CREATE TABLE IF NOT EXISTS input (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, is_start INTEGER NOT NULL, json TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS input_start ON input (id) WHERE is_start = 1;
${TLS_SCHEMA}`;

export const journalDatabase: DatabaseKind = {
  holds: "the journal",
  // "Psjn"
  application: 0x5073_6a6e,
  format: 1,
  schema: JOURNAL_SCHEMA,
  steps: { 0: "" },
  unmarkedUpTo: 1,
  otherwise: "or move the file away: it is the log's memory, no mail is in it",
};

/** What an event is found by. */
export interface EntryKeys {
  readonly session: string | null;
  readonly message: string | null;
  readonly recipient: string | null;
  readonly sender: string | null;
  readonly peer: string | null;
}

const LONGEST_KEY = 400;

/** Stages name these fields alike; where two names are in use, both are read. */
function keysOf(fields: Fields): EntryKeys {
  return {
    session: textOf(fields["session"]),
    message: messageOf(fields),
    recipient: textOf(fields["recipient"] ?? fields["to"]),
    sender: textOf(fields["sender"] ?? fields["from"]),
    peer: textOf(fields["peer"] ?? fields["client"]),
  };
}

function textOf(value: Fields[string]): string | null {
  return typeof value === "string" ? value.slice(0, LONGEST_KEY) : null;
}

function messageOf(fields: Fields): string | null {
  const message = fields["message"];
  if (typeof message === "string") return numberOfMessageId(message) === undefined ? null : message;
  const envelope = fields["envelope"];
  return typeof envelope === "string" ? (partsOfEnvelopeId(envelope)?.message ?? null) : null;
}

/** One event or one input of the scheduler, waiting for the journal's thread: what will be kept as JSON is JSON already. */
export type JournalLine = Bufferable &
  (
    | {
        readonly kind: "event";
        readonly process: number;
        readonly at: number;
        readonly name: string;
        readonly level: Level;
        readonly keys: EntryKeys;
        /** What is for the journal's own tables, and not among the fields in `text`. */
        readonly details: string | null;
      }
    | { readonly kind: "input"; readonly at: number; readonly isStart: boolean }
  );

/**
 * What crosses to the journal's thread: flat lists, for a clone of many small objects costs more than their rows do. Events
 * are process, at, name, level, fields as JSON, session, message, recipient, sender, peer and details in turn: with its keys
 * beside it the JSON need not be read there. Inputs are at, 1 for a start, and JSON.
 */
export interface JournalBatch {
  /** Those the events speak of, by index. */
  readonly processes: readonly ProcessIdentity[];
  readonly events: readonly (number | string | null)[];
  readonly inputs: readonly (number | string)[];
}

/** How many values of `JournalBatch.events` an event has. */
export const EVENT_VALUES = 11;

export function eventLine(process: number, record: EventRecord): JournalLine {
  const { at, name, level, fields } = record;
  const told = fields[DETAILS];
  const text = JSON.stringify(shownFields(fields));
  const details = typeof told === "string" ? told : null;
  const besides = details?.length ?? 0;
  const isDebug = level === "debug";
  return { kind: "event", process, at, name, level, keys: keysOf(fields), details, besides, text, isDebug };
}

/** The event is kept, and nothing in the journal's own tables of it. */
export function lineWithoutDetails(line: JournalLine): JournalLine {
  return line.kind === "event" ? { ...line, details: null, besides: 0 } : line;
}

export function inputLine(at: number, json: string, isStart: boolean): JournalLine {
  return { kind: "input", at, isStart, text: json, isDebug: false };
}

export function batchOf(processes: readonly ProcessIdentity[], lines: readonly JournalLine[]): JournalBatch {
  const events: (number | string | null)[] = [];
  const inputs: (number | string)[] = [];
  for (const line of lines) {
    if (line.kind === "event") {
      const { session, message, recipient, sender, peer } = line.keys;
      events.push(line.process, line.at, line.name, line.level, line.text);
      events.push(session, message, recipient, sender, peer, line.details);
    } else inputs.push(line.at, line.isStart ? 1 : 0, line.text);
  }
  return { processes, events, inputs };
}

/** How the thread is set up, and what it answers to each batch. */
export interface JournalThreadSettings {
  readonly path: string;
  readonly retentionMs: number;
  readonly mostBytes: number;
  readonly inputRetentionMs: number;
  readonly mostInputBytes: number;
}

/** Inputs are a part of the journal's size, and never the greater one: what people read must not go for them. */
export function boundsOf({ retention, size, inputs }: JournalSettings): Omit<JournalThreadSettings, "path"> {
  return {
    retentionMs: retention,
    mostBytes: size,
    inputRetentionMs: inputs.retention,
    mostInputBytes: Math.min(inputs.size, size / 2),
  };
}

/** What of a batch could not be kept, whatever the disk does: the rest is there. */
export interface RefusedRow {
  /** The event's name, or which of its parts. */
  readonly what: string;
  readonly problem: string;
}

/** `asides`: damaged databases in whose place the thread has begun a new one. */
export type JournalAnswer = { readonly asides: readonly SetAside[] } & (
  | { readonly ok: true; readonly refused: readonly RefusedRow[] }
  | { readonly ok: false; readonly problem: string }
);

/** One event as readers get it. */
export interface JournalEntry {
  readonly id: number;
  readonly record: EventRecord;
}

/** What `posthorn log` asks for. */
export type StoryQuery =
  /** A message, or with an envelope's id that envelope; with what its reception's session said. */
  | { readonly by: "message"; readonly id: string }
  /** The newest session of that id (session ids begin anew with each process). */
  | { readonly by: "session"; readonly session: string }
  /** Events that name the address; `as` narrows to one side. */
  | { readonly by: "address"; readonly address: string; readonly as?: "recipient" | "sender" | undefined };

export interface StoryOptions {
  readonly sinceAt?: number | undefined;
  /** The newest so many; 1,000 when left out. */
  readonly limit?: number | undefined;
}

export interface SqlAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  /** More rows were there than are shown. */
  readonly isCut: boolean;
}
