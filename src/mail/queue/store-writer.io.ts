import { closeSync, fsyncSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { bringToFormat, checkFormat } from "../../foundation/database-format.io.ts";
import { makeDirectories } from "../../foundation/make-directories.io.ts";
import { numberOfMessageId, type MessageId } from "../../foundation/ids.ts";
import { PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { isBodyFileName } from "./body-names.ts";
import { SPOOL_DIRECTORY_MODE, SPOOL_FILE_MODE } from "./file-layer.io.ts";
import { ADD, COMMIT, NOTE, UPDATE, refusal, type PackedValue } from "./packing.ts";
import { mustNotBeProgram } from "./program-mark.io.ts";
import { MOST_ATTEMPTS, queueDatabase } from "./schema.ts";
import { settleFile } from "./settle-file.io.ts";
import { errcodeOf, lockSpool, sqliteProblem, type SpoolLock } from "./spool-lock.io.ts";

/**
 * The one connection that writes the queue database; lives in a thread of its own (`store-thread.io.ts`), for every
 * call may wait for the disk. Owns the lock on the spool.
 *
 * - Write-ahead log with `synchronous=FULL`: COMMIT returns after the log is synced. That is our 250.
 * - Any error of the disk but a clean "full" ends this writer for good (it throws `SPOOL_FAILED`): after a failed sync
 *   the page cache shows data that the disk does not have, and a repeated sync would report success.
 * - Opening first makes the log on the disk what the page cache shows, then copies all of it into the database and
 *   syncs that, before anything is added to the log: a log whose tail was only in the page cache after such a failure
 *   must neither lie in front of new commits nor behind a database that has the tail (`settleFile`).
 * - A writer that failed leaves the log alone; SQLite would copy it into the database with the last connection.
 */
export class StoreWriter {
  readonly #directory: string;
  readonly #lock: SpoolLock;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #noopCheckpoint: StatementSync;
  /** Bodies of the batch at work: offsets in the packed values point into it. */
  #bodies: Uint8Array = new Uint8Array(0);
  /** Body files whose rows the transaction at work removes. */
  #unnamed: string[] = [];
  #messages: number;
  #envelopes: number;

  constructor(directory: string) {
    this.#directory = directory;
    let lock: SpoolLock | undefined;
    let database: DatabaseSync | undefined;
    try {
      makeSpoolDirectory(directory);
      this.#lock = lock = lockSpool(directory);
      mustNotBeProgram(directory);
      createPrivately(databasePath(directory));
      settleFile(`${databasePath(directory)}-wal`);
      database = new DatabaseSync(databasePath(directory), { timeout: 5000 });
      prepareDatabase(database, directory);
      this.#database = database;
      this.#statements = prepareStatements(database);
      this.#noopCheckpoint = database.prepare("PRAGMA wal_checkpoint(NOOP)");
      // 20 ms for each 100,000, and whoever opens a queue that cannot be read to its end hears of it.
      this.#messages = countOf(database, "messages");
      this.#envelopes = countOf(database, "envelopes");
    } catch (thrown) {
      if (database !== undefined) leave(database, directory);
      lock?.release();
      throw storeError(thrown, `cannot open the queue in ${directory}`);
    }
  }

  get messages(): number {
    return this.#messages;
  }

  get envelopes(): number {
    return this.#envelopes;
  }

  /**
   * Applies a group of packed batches in one transaction, so with one sync. A batch that cannot be done is left out, with
   * its reason. Throws `SPOOL_FAILED` when nobody knows what the disk holds; then only `close` may follow.
   */
  applyGroup(group: readonly PackedBatches[]): GroupOutcome {
    const starts: BatchStart[] = [];
    for (const packed of group)
      for (let at = 0; at < packed.values.length; at = skipBatch(packed.values, at)) starts.push({ packed, at });
    const together = this.#transaction(starts);
    if (together.ok) return { syncs: 1, batches: starts.length, failures: [], unnamed: together.unnamed };
    // Something in the group cannot be done. Rare, so each batch gets a transaction of its own: that tells which.
    // When the disk is full, copying the log into the database may make room in the log, so that outcomes and
    // removals, which free space, still find their way.
    if (together.error.code === "SPOOL_FULL") this.checkpoint();
    const failures: BatchFailure[] = [];
    const unnamed: string[] = [];
    for (const [index, start] of starts.entries()) {
      const alone = this.#transaction([start]);
      if (alone.ok) unnamed.push(...alone.unnamed);
      else failures.push({ index, code: alone.error.code, message: alone.error.message, advice: alone.error.advice });
    }
    return { syncs: starts.length - failures.length, batches: starts.length, failures, unnamed };
  }

  /** How many pages of the log the database does not have yet. */
  pagesInLog(): number {
    const row = this.#noopCheckpoint.get();
    return Number(row?.["log"] ?? 0) - Number(row?.["checkpointed"] ?? 0);
  }

  /** Brings the log's pages into the database; the log starts over when nobody reads it any more. False: disk full. */
  checkpoint(): boolean {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
      return true;
    } catch (thrown) {
      const error = storeError(thrown, "cannot copy the log into the database");
      if (error.code === "SPOOL_FULL") return false;
      throw error;
    }
  }

  /** Unlinks a body file unless a row names it. In one step, so that no commit can name it in between. */
  sweep(message: MessageId, name: string): boolean {
    if (this.#statements.namesFile.get(numberOfMessageId(message) ?? -1, name) !== undefined) return false;
    rmSync(`${this.#directory}/bodies/${name}`, { force: true });
    return true;
  }

  close(): void {
    closeQuietly(this.#database);
    this.#lock.release();
  }

  /** In place of `close` after `SPOOL_FAILED`: nothing is copied from the log, whose end the disk may not have. */
  leave(): void {
    leave(this.#database, this.#directory);
    this.#lock.release();
  }

  #transaction(starts: readonly BatchStart[]): TransactionOutcome {
    const before = [this.#messages, this.#envelopes] as const;
    this.#unnamed = [];
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      for (const { packed, at } of starts) {
        this.#bodies = packed.bodies;
        this.#applyBatch(packed.values, at);
      }
      this.#database.exec("COMMIT");
      return { ok: true, unnamed: this.#unnamed };
    } catch (thrown) {
      [this.#messages, this.#envelopes] = before;
      const error = storeError(thrown, "cannot write the queue");
      if (error.code === "SPOOL_FAILED") throw error;
      try {
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      } catch (second) {
        throw new PosthornError("SPOOL_FAILED", {
          message: `cannot take back a write to the queue: ${sqliteProblem(second)}, after: ${error.message}`,
          advice: error.advice,
          cause: second,
        });
      }
      return { ok: false, error };
    }
  }

  #applyBatch(values: readonly PackedValue[], start: number): void {
    const operations = Number(values[start]);
    let at = start + 1;
    for (let done = 0; done < operations; done++) {
      const kind = values[at];
      if (kind === COMMIT) at = this.#applyCommit(values, at + 1);
      else if (kind === UPDATE) at = this.#applyUpdate(values, at + 1);
      else if (kind === NOTE) at = this.#applyNote(values, at + 1);
      else if (kind === ADD) at = this.#applyAdd(values, at + 1);
      else at = this.#applyRemove(values, at + 1);
    }
  }

  #applyCommit(values: readonly PackedValue[], at: number): number {
    const [id, sender, receivedAt, sizeBytes, deliverByAt, bodyFile, bodyBytes, facts, offset, envelopes] =
      values.slice(at, at + 10);
    const count = Number(envelopes);
    const bytes = Number(bodyBytes);
    if (typeof bodyFile === "string") this.#mustBeThere(bodyFile, bytes);
    this.#statements.addMessage.run(
      value(id),
      value(sender),
      value(receivedAt),
      value(sizeBytes),
      value(deliverByAt),
      value(bodyFile),
      bytes,
      value(facts),
    );
    if (bodyFile === null)
      this.#statements.addBody.run(value(id), this.#bodies.subarray(Number(offset), Number(offset) + bytes));
    this.#messages++;
    return this.#addEnvelopes(value(id), count, values, at + 10);
  }

  #applyAdd(values: readonly PackedValue[], at: number): number {
    const [id, highest, count] = values.slice(at, at + 3);
    if (this.#statements.number.run(value(highest), value(id), value(highest)).changes === 0)
      throw refusal("the message is not there any more, or has had envelopes of these numbers");
    return this.#addEnvelopes(value(id), Number(count), values, at + 3);
  }

  #addEnvelopes(id: PackedValue, count: number, values: readonly PackedValue[], at: number): number {
    const add = this.#statements.addEnvelope;
    for (let n = 0; n < count; n++, at += ENVELOPE_VALUES) add.run(id, ...values.slice(at, at + ENVELOPE_VALUES));
    this.#envelopes += count;
    return at;
  }

  #applyUpdate(values: readonly PackedValue[], at: number): number {
    const [id, n, state, dueAt, expiresAt, attempts, progress, lastFailure, hasAttempt] = values.slice(at, at + 9);
    const changed = this.#statements.updateEnvelope.run(
      value(state),
      value(dueAt),
      value(expiresAt),
      value(attempts),
      value(progress),
      value(lastFailure),
      value(id),
      value(n),
    ).changes;
    at += 9;
    if (hasAttempt !== 1) return at;
    if (changed !== 0) {
      const last = this.#statements.lastAttempt.get(value(id), value(n))?.["last"];
      const number = Number(last ?? 0) + 1;
      this.#statements.addAttempt.run(value(id), value(n), number, ...values.slice(at, at + ATTEMPT_VALUES));
      if (number > MOST_ATTEMPTS) this.#statements.dropAttempts.run(value(id), value(n), number - MOST_ATTEMPTS);
    }
    return at + ATTEMPT_VALUES;
  }

  #applyRemove(values: readonly PackedValue[], at: number): number {
    const [id, n] = values.slice(at, at + 2);
    const { removeEnvelope, dropAttempts, otherEnvelope, removeMessage, removeBody } = this.#statements;
    if (removeEnvelope.run(value(id), value(n)).changes === 0) return at + 2;
    this.#envelopes--;
    dropAttempts.run(value(id), value(n), Number.MAX_SAFE_INTEGER);
    if (otherEnvelope.get(value(id)) === undefined) {
      const file = removeMessage.get(value(id))?.["body_file"];
      this.#messages--;
      if (typeof file === "string") this.#unnamed.push(file);
      else removeBody.run(value(id));
    }
    return at + 2;
  }

  #applyNote(values: readonly PackedValue[], at: number): number {
    const [key, text] = values.slice(at, at + 2);
    if (text === null) this.#statements.dropNote.run(value(key));
    else this.#statements.keepNote.run(value(key), value(text));
    return at + 2;
  }

  /** A sweep may have taken a file that lay too long. Sweeping happens in this thread, so no sweep can come between. */
  #mustBeThere(name: string, sizeBytes: number): void {
    const found = isBodyFileName(name)
      ? statSync(`${this.#directory}/bodies/${name}`, { throwIfNoEntry: false })
      : undefined;
    if (found?.size !== sizeBytes) throw refusal(`body file ${name} is not there with ${sizeBytes} bytes`);
  }
}

/** What `packBatch` made of some batches, and the block their inline bodies lie in. */
export interface PackedBatches {
  readonly values: readonly PackedValue[];
  readonly bodies: Uint8Array;
}

interface BatchStart {
  readonly packed: PackedBatches;
  readonly at: number;
}

export interface GroupOutcome {
  readonly syncs: number;
  readonly batches: number;
  /** By position in the group. */
  readonly failures: readonly BatchFailure[];
  /** Body files that no row names any more, durably. */
  readonly unnamed: readonly string[];
}

export interface BatchFailure {
  readonly index: number;
  readonly code: PosthornError["code"];
  readonly message: string;
  readonly advice: string;
}

type TransactionOutcome = { ok: true; unnamed: readonly string[] } | { ok: false; error: PosthornError };

const ENVELOPE_VALUES = 11;
const ATTEMPT_VALUES = 6;

export function databasePath(directory: string): string {
  return `${directory}/queue.db`;
}

/** Finds the next batch without applying this one. */
function skipBatch(values: readonly PackedValue[], start: number): number {
  let at = start + 1;
  for (let left = Number(values[start]); left > 0; left--) {
    if (values[at] === COMMIT) at += 11 + Number(values[at + 10]) * ENVELOPE_VALUES;
    else if (values[at] === ADD) at += 4 + Number(values[at + 3]) * ENVELOPE_VALUES;
    else if (values[at] === UPDATE) at += 10 + (values[at + 9] === 1 ? ATTEMPT_VALUES : 0);
    else at += 3;
  }
  return at;
}

/** A packed list is never shorter than its counts say: `packBatch` wrote it. */
function value(packed: PackedValue | undefined): PackedValue {
  return packed ?? null;
}

interface Statements {
  readonly addMessage: StatementSync;
  readonly addBody: StatementSync;
  readonly addEnvelope: StatementSync;
  readonly updateEnvelope: StatementSync;
  readonly lastAttempt: StatementSync;
  readonly addAttempt: StatementSync;
  readonly dropAttempts: StatementSync;
  readonly removeEnvelope: StatementSync;
  readonly otherEnvelope: StatementSync;
  readonly removeMessage: StatementSync;
  readonly removeBody: StatementSync;
  readonly namesFile: StatementSync;
  readonly keepNote: StatementSync;
  readonly dropNote: StatementSync;
  readonly number: StatementSync;
}

function prepareStatements(database: DatabaseSync): Statements {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    addMessage: prepare("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    addBody: prepare("INSERT INTO bodies VALUES (?, ?)"),
    addEnvelope: prepare("INSERT INTO envelopes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    updateEnvelope: prepare(
      "UPDATE envelopes SET state = ?, due_at = ?, expires_at = ?, attempts = ?, progress = ?, last_failure = ? WHERE message = ? AND n = ?",
    ),
    lastAttempt: prepare("SELECT max(number) AS last FROM attempts WHERE message = ? AND n = ?"),
    addAttempt: prepare("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    dropAttempts: prepare("DELETE FROM attempts WHERE message = ? AND n = ? AND number <= ?"),
    removeEnvelope: prepare("DELETE FROM envelopes WHERE message = ? AND n = ?"),
    otherEnvelope: prepare("SELECT 1 FROM envelopes WHERE message = ? LIMIT 1"),
    removeMessage: prepare("DELETE FROM messages WHERE id = ? RETURNING body_file"),
    removeBody: prepare("DELETE FROM bodies WHERE message = ?"),
    keepNote: prepare("INSERT OR REPLACE INTO notes VALUES (?, ?)"),
    dropNote: prepare("DELETE FROM notes WHERE key = ?"),
    // Numbers rise, so that no two envelopes of a message ever have the same one.
    number: prepare(
      "UPDATE messages SET facts = json_set(facts, '$.numbered', ?) WHERE id = ? AND " +
        // A damaged one is refused; a failure would be taken for one of the disk, and close the queue.
        "CASE WHEN json_valid(facts) THEN coalesce(facts ->> '$.numbered', 1) < ? END",
    ),
    namesFile: prepare("SELECT 1 FROM messages WHERE id = ? AND body_file = ?"),
  };
}

/** Makes the directory and every missing one above it, and their entries durable. */
export function makeSpoolDirectory(directory: string): void {
  const first = makeDirectories(directory, SPOOL_DIRECTORY_MODE);
  if (first === undefined) return;
  for (let made = directory; ; made = dirname(made)) {
    syncDirectory(dirname(made));
    if (made === first || made === dirname(made)) return;
  }
}

/** SQLite would make a file that everybody may read. Its log and index files take over the mode. */
export function createPrivately(file: string): void {
  // An existing one is not touched: closing any descriptor of a database would drop this process's locks on it.
  if (statSync(file, { throwIfNoEntry: false }) === undefined) closeSync(openSync(file, "wx", SPOOL_FILE_MODE));
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function prepareDatabase(database: DatabaseSync, directory: string): void {
  // Memory-mapped reads would turn a failing disk into SIGBUS, so they stay off.
  database.exec(`
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
  `);
  checkFormat(database, databasePath(directory), queueDatabase);
  const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
  if (mode !== "wal")
    throw new PosthornError("SPOOL_FAILED", {
      message: `the file system of ${directory} does not allow a write-ahead log`,
      advice: "put the queue on a local file system",
    });
  database.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = ${LOG_LIMIT_BYTES};
  `);
  bringToFormat(database, databasePath(directory), queueDatabase);
  const checkpoint = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
  if (checkpoint?.["busy"] !== 0)
    throw new PosthornError("SPOOL_IN_USE", {
      message: `another program reads ${databasePath(directory)}`,
      advice: "close it: the queue can be recovered only while nobody else has it open",
    });
  syncDirectory(directory);
}

/** The log file is cut to this size when it starts over; the checkpoint policy keeps it well below (`store-thread.io.ts`). */
const LOG_LIMIT_BYTES = 64 * 1024 * 1024;

function countOf(database: DatabaseSync, table: "messages" | "envelopes"): number {
  return Number(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.["count"]);
}

function leave(database: DatabaseSync, directory: string): void {
  // The last connection that may write copies the log when it closes; with another one open, it is not the last. One that
  // only reads never does.
  let other: DatabaseSync | undefined;
  try {
    other = new DatabaseSync(databasePath(directory), { readOnly: true, timeout: 0 });
    other.prepare("SELECT count(*) FROM sqlite_schema").get();
  } catch {
    // A disk that cannot even be read copies nothing either.
  }
  closeQuietly(database);
  if (other !== undefined) closeQuietly(other);
}

function closeQuietly(database: DatabaseSync): void {
  try {
    database.close();
  } catch {
    // What it had to say was said by the operation that failed.
  }
}

/** SQLITE_FULL and SQLITE_CONSTRAINT are taken back cleanly by SQLite; whatever else happens, the disk is in doubt. */
export function storeError(thrown: unknown, what: string): PosthornError {
  if (thrown instanceof PosthornError) return thrown;
  const primary = (errcodeOf(thrown) ?? 0) & 0xff;
  const message = `${what}: ${sqliteProblem(thrown)}`;
  if (primary === 19)
    return new PosthornError("SPOOL_REFUSED", {
      message,
      cause: thrown,
      advice: "the client is asked to send the message again",
    });
  if (primary === 13 || systemCodeOf(thrown) === "ENOSPC")
    return new PosthornError("SPOOL_FULL", { message, cause: thrown, advice: "free space in the queue's file system" });
  // As after root ran a single server in the same directory.
  if (["EACCES", "EPERM"].includes(systemCodeOf(thrown) ?? ""))
    return new PosthornError("SPOOL_FAILED", {
      message,
      cause: thrown,
      advice:
        "files of the queue belong to somebody else than the user that the server runs as: stop it, and give them to that user (chown -R USER of the queue's directory)",
    });
  return new PosthornError("SPOOL_FAILED", { message, cause: thrown, advice: "look at the disk and the system log" });
}
