import type { AnyEvent, Speaker } from "../../foundation/events.ts";
import { escapeControls } from "../../foundation/escape.ts";
import { shownFields, type EventRecord, type Fields } from "./record.ts";

/** Beyond this a line is cut: syslog daemons and terminals stop making sense of longer ones. */
export const LONGEST_LINE = 4000;
const LISTENERS = 1_000;
const COUNTS = 100_000;

/** What a sink gets: the record, who speaks, the number in brackets, and the escaped text for people, if there is one. */
export interface LogEntry {
  readonly record: EventRecord;
  readonly speaker: Speaker;
  readonly number: number;
  readonly text: string | undefined;
}

export function entryOf(record: EventRecord, declaration: AnyEvent | undefined): LogEntry {
  if (declaration === undefined) {
    // A record of a newer or older process during a restart: its fields still tell the story.
    const text = bounded(escapeControls(`${record.name}: ${JSON.stringify(shownFields(record.fields))}`));
    return { record, speaker: "master", number: record.from.pid, text };
  }
  const line = declaration.line as (fields: Fields) => string | undefined;
  const raw = line(record.fields);
  const speaksAs = declaration.speaksAs as ((fields: Fields) => Speaker) | undefined;
  const speaker = speaksAs?.(record.fields) ?? declaration.speaker;
  return {
    record,
    speaker,
    number: bracketNumber(record, speaker),
    text: raw === undefined ? undefined : bounded(escapeControls(raw)),
  };
}

/** `posthorn/smtpd[4711]`: the tag of a line, before the colon. */
export function tagOf(entry: LogEntry): string {
  return `posthorn/${entry.speaker}[${entry.number}]`;
}

/**
 * Postfix has one smtpd process for each client at a time, so people and pflogsumm take the number in brackets for the
 * client's. Ours serve many at once: in lines of a session the process id is followed by eight digits of the session.
 */
function bracketNumber(record: EventRecord, speaker: Speaker): number {
  const session = record.fields["session"];
  if ((speaker !== "smtpd" && speaker !== "lmtpd") || typeof session !== "string") return record.from.pid;
  return record.from.pid * LISTENERS * COUNTS + sessionNumber(session);
}

/** What a number in brackets says of a session: the process that had it, and whether an id may be its. */
export function sessionOfNumber(
  number: number,
): { readonly pid: number; readonly mayBe: (session: string) => boolean } | undefined {
  const perProcess = LISTENERS * COUNTS;
  if (!Number.isSafeInteger(number) || number < perProcess) return undefined;
  return { pid: Math.floor(number / perProcess), mayBe: (session) => sessionNumber(session) === number % perProcess };
}

/** A session's id is its listener's name and a count in base 36 (`submission-1a`): three digits for one, five for the other. */
function sessionNumber(session: string): number {
  const dash = session.lastIndexOf("-");
  const count = Number.parseInt(session.slice(dash + 1), 36);
  let hash = 0;
  for (let at = 0; at < dash; at++) hash = (Math.imul(hash, 31) + session.charCodeAt(at)) >>> 0;
  return (hash % LISTENERS) * COUNTS + (Number.isSafeInteger(count) ? count % COUNTS : 0);
}

function bounded(text: string): string {
  return text.length <= LONGEST_LINE ? text : `${text.slice(0, LONGEST_LINE)}... (cut, ${text.length} characters)`;
}
