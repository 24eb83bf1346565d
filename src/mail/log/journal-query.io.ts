import { constants, DatabaseSync } from "node:sqlite";
import { checkFormat } from "../../foundation/database-format.io.ts";
import type { Level } from "../../foundation/events.ts";
import { partsOfEnvelopeId } from "../../foundation/ids.ts";
import { journalDatabase, type JournalEntry, type SqlAnswer, type StoryOptions, type StoryQuery } from "./journal.ts";
import { sessionOfNumber } from "./line.ts";
import type { Fields } from "./record.ts";
import { TlsJournalQuery } from "./tls-journal-query.io.ts";
import type { TlsAnswers, TlsQuestion } from "./tls-questions.ts";

const STORY_LIMIT = 1_000;
/** Sessions that carried a message and whose other lines belong to its story; more would be a fault of ours. */
const MOST_SESSIONS = 10;
const LONGEST_SESSION_MS = 24 * 60 * 60_000;
/** Events in which a session's number is looked for, the newest first: about a second. */
const MOST_SESSIONS_LOOKED_AT = 1_000_000;
const MOST_SQL_ROWS = 10_000;
const LONGEST_CELL = 10_000;
/** Ids of one mail: a filter after the other, or copies that a filter makes. */
const MOST_PASSES = 16;

const SELECT = "SELECT id, at, event, level, role, pid, process_started_at, message, fields FROM events";

/** The reading side, on one thread: opens read-only, so a reader can break nothing. */
export class JournalQuery {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
    try {
      checkFormat(this.#database, path, journalDatabase);
    } catch (thrown) {
      this.#database.close();
      throw thrown;
    }
    // Reading only, of this database only: who may query the journal may not reach the server's other files through it.
    this.#database.setAuthorizer((action) =>
      ALLOWED_ACTIONS.has(action) ? constants.SQLITE_OK : constants.SQLITE_DENY,
    );
  }

  story(query: StoryQuery, options: StoryOptions = {}): readonly JournalEntry[] {
    const limit = options.limit ?? STORY_LIMIT;
    const sinceId = (options.sinceAt ?? 0) * 1024;
    switch (query.by) {
      case "message":
        return this.#wholeStory(query.id, sinceId, limit);
      case "session":
        return (
          this.#sessionStory(query.session, sinceId, limit) ?? this.#numberStory(query.session, sinceId, limit) ?? []
        );
      case "address":
        return this.#addressStory(query.address, query.as, sinceId, limit);
    }
  }

  tls<Asked extends TlsQuestion["ask"]>(question: Extract<TlsQuestion, { ask: Asked }>): TlsAnswers[Asked] {
    return new TlsJournalQuery(this.#database, (session, aroundAt) => this.#sessionAround(session, aroundAt)).answer(
      question,
    );
  }

  sql(text: string): SqlAnswer {
    const statement = this.#database.prepare(text);
    const columns = statement.columns().map((column) => column.name);
    statement.setReturnArrays(true);
    const rows: (string | number | null)[][] = [];
    for (const row of statement.iterate()) {
      if (rows.length === MOST_SQL_ROWS) return { columns, rows, isCut: true };
      // With setReturnArrays a row is an array of cells.
      rows.push((row as unknown as unknown[]).map(cellOf));
    }
    return { columns, rows, isCut: false };
  }

  /** The scheduler's inputs from the last start at or before `fromAt` (or the first recorded one). */
  *inputs(fromAt: number): Generator<{ readonly at: number; readonly isStart: boolean; readonly json: string }> {
    const start = this.#database
      .prepare("SELECT max(id) AS id FROM input WHERE is_start = 1 AND at <= ?")
      .get(fromAt)?.["id"];
    const rows = this.#database
      .prepare("SELECT at, is_start, json FROM input WHERE id >= ? ORDER BY id")
      .iterate(Number(start ?? 0));
    for (const row of rows)
      yield { at: Number(row["at"]), isStart: Number(row["is_start"]) === 1, json: String(row["json"]) };
  }

  close(): void {
    this.#database.close();
  }

  /** Of a mail that went through a filter and came back: under all its ids, or those of an envelope under its own alone. */
  #wholeStory(id: string, sinceId: number, limit: number): readonly JournalEntry[] {
    const stories = new Map<string, readonly JournalEntry[]>();
    const waiting = [id];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (stories.has(next) || stories.size === MOST_PASSES) continue;
      const story = this.#messageStory(next, sinceId, limit);
      stories.set(next, story);
      if (partsOfEnvelopeId(id) === undefined) waiting.push(...otherPassesIn(story));
    }
    if (stories.size === 1) return stories.get(id) ?? [];
    const all = new Map([...stories.values()].flat().map((entry) => [entry.id, entry]));
    return [...all.values()].sort((one, other) => one.id - other.id);
  }

  #messageStory(id: string, sinceId: number, limit: number): readonly JournalEntry[] {
    const envelope = partsOfEnvelopeId(id);
    const message = envelope?.message ?? id;
    const own = this.#entries("message = ?", [message], sinceId, limit).filter((entry) => {
      const named = entry.record.fields["envelope"];
      return envelope === undefined || typeof named !== "string" || named === id;
    });
    const all = new Map<string, JournalEntry>();
    for (const entry of own) {
      const session = entry.record.fields["session"];
      if (typeof session === "string" && !all.has(session)) all.set(session, entry);
    }
    // Of many the first, which brought the message, and the newest.
    const sessions =
      all.size <= MOST_SESSIONS ? [...all] : [...[...all].slice(0, 1), ...[...all].slice(1 - MOST_SESSIONS)];
    const around = sessions.flatMap(([session, entry]) =>
      this.#entries("session = ? AND message IS NULL", [session], 0, limit).filter(
        (other) => isSameProcess(entry, other) || isOfDelivery(entry, other),
      ),
    );
    return [...own, ...around].sort((one, other) => one.id - other.id);
  }

  /** Of the newest process that had a session of this id, or of that process. */
  #sessionStory(session: string, sinceId: number, limit: number, pid?: number): readonly JournalEntry[] | undefined {
    const entries = this.#entries("session = ?", [session], sinceId, limit);
    const newest = entries.findLast(({ record }) => pid === undefined || record.from.pid === pid);
    return newest === undefined
      ? undefined
      : entries.filter((entry) => isSameProcess(entry, newest) || isOfDelivery(newest, entry));
  }

  /** Of the session that the log's lines show with this number in brackets. */
  #numberStory(text: string, sinceId: number, limit: number): readonly JournalEntry[] | undefined {
    const number = /^\[?(\d+)\]?$/.exec(text)?.[1];
    const wanted = number === undefined ? undefined : sessionOfNumber(Number(number));
    if (wanted === undefined) return undefined;
    const rows = this.#database
      .prepare("SELECT pid, session FROM events WHERE session IS NOT NULL AND id >= ? ORDER BY id DESC LIMIT ?")
      .iterate(sinceId, MOST_SESSIONS_LOOKED_AT);
    for (const { pid, session } of rows)
      if (pid === wanted.pid && typeof session === "string" && wanted.mayBe(session))
        return this.#sessionStory(session, sinceId, limit, wanted.pid);
    return undefined;
  }

  /** The lines of the life of that session id which an instant belongs to. */
  #sessionAround(session: string, aroundAt: number): readonly JournalEntry[] {
    const entries = this.#database
      .prepare(`${SELECT} WHERE session = ? AND id BETWEEN ? AND ? ORDER BY id LIMIT ?`)
      .all(session, (aroundAt - LONGEST_SESSION_MS) * 1024, (aroundAt + LONGEST_SESSION_MS) * 1024, STORY_LIMIT)
      .map(entryOf);
    const nearest = entries.toSorted(
      (one, other) => Math.abs(one.record.at - aroundAt) - Math.abs(other.record.at - aroundAt),
    )[0];
    return nearest === undefined ? [] : entries.filter((entry) => isSameProcess(entry, nearest));
  }

  #addressStory(
    address: string,
    side: "recipient" | "sender" | undefined,
    sinceId: number,
    limit: number,
  ): readonly JournalEntry[] {
    const entries: JournalEntry[] = [];
    for (const column of side === undefined ? (["recipient", "sender"] as const) : [side])
      entries.push(...this.#entries(`${column} = ? COLLATE NOCASE`, [address], sinceId, limit));
    const unique = new Map(entries.map((entry) => [entry.id, entry]));
    return [...unique.values()].sort((one, other) => one.id - other.id).slice(-limit);
  }

  #entries(where: string, values: readonly string[], sinceId: number, limit: number): readonly JournalEntry[] {
    return this.#database
      .prepare(`${SELECT} WHERE ${where} AND id >= ? ORDER BY id DESC LIMIT ?`)
      .all(...values, sinceId, limit)
      .map(entryOf)
      .toReversed();
  }
}

// Function calls and recursive queries included; ATTACH, PRAGMA and every change are not.
const ALLOWED_ACTIONS = new Set<number>([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE,
]);

function entryOf(row: Record<string, unknown>): JournalEntry {
  const level = String(row["level"]) as Level;
  const fields = JSON.parse(String(row["fields"])) as Fields;
  const from = {
    role: String(row["role"]),
    pid: Number(row["pid"]),
    startedAt: Number(row["process_started_at"]),
  };
  return { id: Number(row["id"]), record: { at: Number(row["at"]), name: String(row["event"]), level, from, fields } };
}

/**
 * The session of an attempt is told by the process that sends, the attempt by the scheduler, who numbers the sessions anew
 * with each of its lives.
 */
function isOfDelivery(attempt: JournalEntry, other: JournalEntry): boolean {
  const { at, from, name } = attempt.record;
  return (
    name.startsWith("delivery.") &&
    other.record.name.startsWith("delivery.") &&
    other.record.at >= from.startedAt &&
    Math.abs(other.record.at - at) <= LONGEST_SESSION_MS
  );
}

/** Ids under which the mail was here before, or came back. */
function otherPassesIn(story: readonly JournalEntry[]): readonly string[] {
  return story.flatMap(({ record: { name, fields } }) => {
    const other =
      name === "session.filtered-copy" ? fields["original"] : name === "session.came-back" ? fields["copy"] : undefined;
    return typeof other === "string" ? [other] : [];
  });
}

function isSameProcess(one: JournalEntry, other: JournalEntry): boolean {
  const [a, b] = [one.record.from, other.record.from];
  return a.role === b.role && a.pid === b.pid && a.startedAt === b.startedAt;
}

function cellOf(value: unknown): string | number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string") return value.slice(0, LONGEST_CELL);
  return value instanceof Uint8Array
    ? `x'${Buffer.from(value.subarray(0, 64)).toString("hex")}'`
    : JSON.stringify(value);
}
