import { statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  envelopeIdOf,
  messageIdOf,
  numberOfMessageId,
  partsOfEnvelopeId,
  type EnvelopeId,
  type MessageId,
} from "../../foundation/ids.ts";
import { messageOf as errorText } from "../../foundation/error.ts";
import { Census } from "./census.ts";
import { PAGE_ROWS } from "./pages.ts";
import { attemptOf, envelopeOf, messageOf, listedJsonOf, NO_RELAY } from "./rows.ts";
import type { AttemptRow, EnvelopeRow, ListedRow, LoadedRow, MessageRow } from "./rows.ts";
import type {
  AttemptRecord,
  Body,
  CensusRow,
  Note,
  QueueFilter,
  QueuePage,
  QueuePlace,
  StoredEnvelope,
  StoredMessage,
} from "./store.ts";
import { databasePath } from "./store-writer.io.ts";

/**
 * The read-only connection, in a thread of its own, so that no read waits for a sync and no long list holds up commits.
 * Long answers come in slices, each a short read of its own: point reads find their way between them, and the log can
 * start over. A list is therefore true row by row, not as one instant.
 */
export class StoreReader {
  readonly #directory: string;
  readonly #database: DatabaseSync;
  readonly #message: StatementSync;
  readonly #envelope: StatementSync;
  readonly #body: StatementSync;
  readonly #attempts: StatementSync;
  readonly #sliceEnd: StatementSync;
  readonly #slice: StatementSync;
  readonly #guardedSlice: StatementSync;
  readonly #census: StatementSync;
  readonly #notes: StatementSync;

  constructor(directory: string) {
    this.#directory = directory;
    this.#database = new DatabaseSync(databasePath(directory), { readOnly: true, timeout: 5000 });
    this.#database.exec("PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096");
    const prepare = (sql: string): StatementSync => this.#database.prepare(sql);
    this.#message = prepare("SELECT * FROM messages WHERE id = ?");
    this.#envelope = prepare("SELECT * FROM envelopes WHERE message = ? AND n = ?");
    this.#body = prepare(
      "SELECT body_file, body_bytes, bytes FROM messages LEFT JOIN bodies ON bodies.message = messages.id WHERE id = ?",
    );
    this.#attempts = prepare("SELECT * FROM attempts WHERE message = ? AND n = ? ORDER BY number");
    this.#sliceEnd = prepare(`SELECT max(id) AS last FROM (SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?)`);
    const slice = (read: ReadJson): StatementSync => {
      const sql = `SELECT ${loadedColumns(read)} FROM ${JOIN} WHERE m.id > ? AND m.id <= ? ORDER BY m.id, e.n`;
      const statement = prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };
    this.#slice = slice(plainly);
    this.#guardedSlice = slice(guarded);
    this.#notes = prepare("SELECT key, text FROM notes WHERE key >= ? AND key < ? ORDER BY key");
    this.#census = prepare(`SELECT domain, received_at FROM ${JOIN} WHERE m.id > ? AND m.id <= ?`);
  }

  message(id: MessageId): StoredMessage | undefined {
    const row = this.#message.get(numberOfMessageId(id) ?? -1);
    return row === undefined ? undefined : messageOf(row as unknown as MessageRow);
  }

  envelopes(ids: readonly EnvelopeId[]): readonly StoredEnvelope[] {
    const found: StoredEnvelope[] = [];
    for (const id of ids) {
      const [message, n] = keyOf(id);
      const row = this.#envelope.get(message, n);
      if (row !== undefined) found.push(envelopeOf(row as unknown as EnvelopeRow));
    }
    return found;
  }

  body(id: MessageId): Body | undefined {
    const row = this.#body.get(numberOfMessageId(id) ?? -1);
    if (row === undefined) return undefined;
    const { body_file: name, body_bytes: sizeBytes, bytes } = row;
    if (typeof name === "string") return { kind: "file", name, sizeBytes: Number(sizeBytes) };
    // Where its row is missing, that is the matter of this message: the others go on.
    return bytes instanceof Uint8Array ? { kind: "inline", bytes } : undefined;
  }

  attempts(id: EnvelopeId): readonly AttemptRecord[] {
    return this.#attempts.all(...keyOf(id)).map((row) => attemptOf(row as unknown as AttemptRow));
  }

  notes(prefix: string): readonly Note[] {
    const rows = this.#notes.all(prefix, `${prefix}\u{10ffff}`);
    return rows.map((row) => ({ key: String(row["key"]), text: String(row["text"]) }));
  }

  /** Rows for `loadedOf`, which is for the thread that asked: this one has the longer work of a start already. */
  *load(): Generator<readonly LoadedRow[]> {
    for (const [after, last] of this.#slices()) {
      const rows = withoutDamage(
        () => this.#slice.all(after, last),
        () => this.#guardedSlice.all(after, last),
      );
      // The columns are those that `LoadedRow` names, in its order.
      if (rows.length > 0) yield rows as unknown as readonly LoadedRow[];
    }
  }

  page(filter: QueueFilter, behind: QueuePlace = { message: -1, n: 0 }): QueuePage {
    const one =
      filter.message ?? (filter.envelope === undefined ? undefined : partsOfEnvelopeId(filter.envelope)?.message);
    const number = one === undefined ? undefined : (numberOfMessageId(one) ?? -1);
    const first = Math.max(behind.message, number ?? -1);
    const end = number ?? this.#sliceEnd.get(first, PAGE_MESSAGES)?.["last"];
    // Without messages behind it there may still be more envelopes of this one.
    const last = typeof end === "number" ? end : first;
    const most = Math.min(PAGE_ROWS, filter.limit ?? PAGE_ROWS);
    const rows = (read: ReadJson): ListedRow[] => {
      const { where, values } = conditionsOf(filter, read);
      const statement = this.#database.prepare(
        `SELECT ${listedColumns(read)} FROM ${JOIN} WHERE m.id >= ? AND m.id <= ? AND (m.id > ? OR e.n > ?)${where} ` +
          "ORDER BY m.id, e.n LIMIT ?",
      );
      statement.setReturnArrays(true);
      // The columns are those that `ListedRow` names, in its order.
      return statement.all(first, last, behind.message, behind.n, ...values, most) as unknown as ListedRow[];
    };
    const found = withoutDamage(
      () => rows(plainly),
      () => rows(guarded),
    );
    const lastRow = found.at(-1);
    const isWhole = found.length < most;
    const next =
      lastRow !== undefined && !isWhole
        ? { message: lastRow[0], n: lastRow[1] }
        : number === undefined && typeof end === "number"
          ? { message: end, n: Number.MAX_SAFE_INTEGER }
          : undefined;
    return {
      count: found.length,
      envelopes: found.map(([message, n]) => envelopeIdOf(messageIdOf(message), n)),
      rows: found.map(listedJsonOf),
      ...(next === undefined ? {} : { next }),
    };
  }

  /** Empty portions while it counts, then the whole census. */
  *census(now: number): Generator<readonly CensusRow[]> {
    const census = new Census(now);
    for (const [after, last] of this.#slices()) {
      for (const row of this.#census.iterate(after, last))
        census.add(String(row["domain"]), Number(row["received_at"]));
      yield [];
    }
    yield census.rows();
  }

  /** Messages whose body file is not there, or not as long as it was. */
  *missingFiles(): Generator<readonly MissingFile[]> {
    const named = this.#database.prepare(
      "SELECT id, body_file, body_bytes FROM messages WHERE id > ? AND id <= ? AND body_file IS NOT NULL",
    );
    for (const [after, last] of this.#slices()) {
      const missing: MissingFile[] = [];
      for (const row of named.all(after, last)) {
        const file = String(row["body_file"]);
        const size = statSync(`${this.#directory}/bodies/${file}`, { throwIfNoEntry: false })?.size;
        // The message may have been delivered since the row was read; then it is gone from the table too.
        if (size !== row["body_bytes"] && this.#message.get(Number(row["id"])) !== undefined)
          missing.push({ message: messageIdOf(Number(row["id"])), file });
      }
      yield missing;
    }
  }

  close(): void {
    this.#database.close();
  }

  /** Ranges of message ids, (after, last], with a bounded number of messages in each. */
  *#slices(): Generator<readonly [after: number, last: number]> {
    for (let after = -1; ;) {
      const last = this.#sliceEnd.get(after, SLICE_MESSAGES)?.["last"];
      if (typeof last !== "number") return;
      yield [after, last];
      after = last;
    }
  }
}

export interface MissingFile {
  readonly message: MessageId;
  readonly file: string;
}

/** A slice takes a few milliseconds. */
const SLICE_MESSAGES = 1000;
/** How many messages a page of a list looks at, whatever passes. */
const PAGE_MESSAGES = 1000;

const JOIN = "messages AS m CROSS JOIN envelopes AS e ON e.message = m.id";
/** How a statement reads a column of JSON. */
type ReadJson = (column: string, path: string) => string;

/** A row whose JSON is damaged fails the statement. */
const plainly: ReadJson = (column, path) => `${column} ->> '$.${path}'`;
/** Such a row has nothing there. It takes the JSON of every row apart twice, so it is not how lists are read otherwise. */
const guarded: ReadJson = (column, path) => `CASE WHEN json_valid(${column}) THEN ${column} ->> '$.${path}' END`;

/** What SQLite says of it. It has no code of its own. */
const MALFORMED = /malformed JSON/;

function withoutDamage<Rows>(read: () => Rows, readGuarded: () => Rows): Rows {
  try {
    return read();
  } catch (thrown) {
    if (!MALFORMED.test(errorText(thrown))) throw thrown;
    return readGuarded();
  }
}

/** An envelope's own sender, where it has one. */
function senderOf(read: ReadJson): string {
  return `CASE WHEN e.facts IS NULL THEN m.sender ELSE coalesce(${read("e.facts", "sender")}, m.sender) END`;
}
/** Or the message's, whatever the envelope goes as. */
function anySender(read: ReadJson): string {
  return `(m.sender = ? COLLATE NOCASE OR ${senderOf(read)} = ? COLLATE NOCASE)`;
}
function origin(read: ReadJson): string {
  return `${read("m.facts", "origin.account")} = ? AND ${read("m.facts", "origin.listener")} = ?`;
}
function listedColumns(read: ReadJson): string {
  return (
    "e.message, e.n, e.recipient, e.action, e.state, e.due_at, e.expires_at, e.attempts, e.progress, e.last_failure, " +
    `${senderOf(read)}, m.received_at, m.size_bytes`
  );
}
/** Few messages have it, and looking for its name costs a tenth of taking the JSON apart. */
function factOf(name: string, read: ReadJson): string {
  return `CASE WHEN instr(m.facts, '"${name}"') > 0 THEN ${read("m.facts", name)} END`;
}
function loadedColumns(read: ReadJson): string {
  return (
    "e.message, e.n, e.recipient, e.action, e.facts, e.state, e.due_at, e.expires_at, e.attempts, e.progress, " +
    "m.sender, m.received_at, m.size_bytes, m.deliver_by_at, " +
    `CASE WHEN m.deliver_by_at IS NULL THEN NULL ELSE ${read("m.facts", "deliverBy.mode")} END AS deliver_by_mode, ` +
    `${factOf("tenant", read)} AS tenant, ${factOf("priority", read)} AS priority, ` +
    `${read("e.last_failure", "cause.kind")} AS failed_by, ${read("e.last_failure", "host")} AS failed_at, ` +
    "CASE WHEN e.attempts > 0 THEN (SELECT a.relay FROM attempts AS a WHERE a.message = e.message AND a.n = e.n " +
    `AND a.relay <> '${NO_RELAY}' ORDER BY a.number DESC LIMIT 1) END AS last_host`
  );
}

function keyOf(id: EnvelopeId): [message: number, n: number] {
  const parts = partsOfEnvelopeId(id);
  return [numberOfMessageId(parts?.message ?? "") ?? -1, parts?.index ?? 0];
}

function conditionsOf(filter: QueueFilter, read: ReadJson): { where: string; values: readonly (string | number)[] } {
  let where = "";
  const values: (string | number)[] = [];
  const add = (condition: string, ...operands: (string | number)[]): void => {
    where += ` AND ${condition}`;
    values.push(...operands);
  };
  if (filter.state === "deferred") add("e.state = 'queued' AND e.attempts > 0");
  else if (filter.state === "queued") add("e.state = 'queued' AND e.attempts = 0");
  else if (filter.state !== undefined) add("e.state = ?", filter.state);
  if (filter.sender !== undefined) add(anySender(read), filter.sender, filter.sender);
  if (filter.recipient !== undefined) add("e.recipient = ? COLLATE NOCASE", filter.recipient);
  if (filter.domain !== undefined) add("e.domain = ?", filter.domain.toLowerCase());
  if (filter.envelope !== undefined) add("e.message = ? AND e.n = ?", ...keyOf(filter.envelope));
  if (filter.origin !== undefined) add(origin(read), filter.origin.account, filter.origin.listener);
  if (filter.receivedBeforeAt !== undefined) add("m.received_at < ?", filter.receivedBeforeAt);
  if (filter.receivedAfterAt !== undefined) add("m.received_at > ?", filter.receivedAfterAt);
  return { where, values };
}
