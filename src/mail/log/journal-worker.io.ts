import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { bringToFormat, checkFormat } from "../../foundation/database-format.io.ts";
import { makeDirectories } from "../../foundation/make-directories.io.ts";
import { renewedStore } from "../../foundation/damaged-database.io.ts";
import type { SetAside } from "../../foundation/damaged-database.ts";
import { messageOf } from "../../foundation/error.ts";
import {
  EVENT_VALUES,
  JOURNAL_SCHEMA,
  journalDatabase,
  type JournalAnswer,
  type JournalBatch,
  type JournalThreadSettings,
  type RefusedRow,
} from "./journal.ts";
import type { Fields } from "./record.ts";
import { inputBytes, tidyEntries, tidyInputs, tidyTls } from "./journal-retention.io.ts";
import { TlsJournalWriter } from "./tls-journal-writer.io.ts";

/** The thread that owns the journal's database. One batch is one transaction; between batches it lets old rows go. */
const TIDY_EVERY_MS = 30_000;
const IDS_PER_MS = 1024;

export class JournalDatabase {
  readonly #settings: JournalThreadSettings;
  readonly #database: DatabaseSync;
  readonly #names = new Map<string, number>();
  readonly #processes: number[] = [];
  readonly #insertEntry: StatementSync;
  readonly #insertInput: StatementSync;
  readonly #tls: TlsJournalWriter;
  #lastEntryId: number;
  #lastInputId: number;
  #inputBytes: number;

  constructor(settings: JournalThreadSettings) {
    this.#settings = settings;
    this.#database = openDatabase(settings.path);
    try {
      this.#insertEntry = this.#database.prepare(
        "INSERT INTO entry (id, at, name, process, session, message, recipient, sender, peer, fields) VALUES (?,?,?,?,?,?,?,?,?,?)",
      );
      this.#insertInput = this.#database.prepare("INSERT INTO input (id, at, is_start, json) VALUES (?,?,?,?)");
      this.#tls = new TlsJournalWriter(this.#database);
      this.#lastEntryId = this.#highest("entry");
      this.#lastInputId = this.#highest("input");
      this.#inputBytes = inputBytes(this.#database);
    } catch (thrown) {
      this.#database.close();
      throw thrown;
    }
  }

  /** Throws, and has kept nothing, when the disk or the file is to blame; what is to blame itself is left out and told. */
  write(batch: JournalBatch): readonly RefusedRow[] {
    try {
      this.#inTransaction(batch, () => this.#writeRows(batch));
      return [];
    } catch (thrown) {
      if (!isOfRow(thrown)) throw thrown;
      const refused: RefusedRow[] = [];
      this.#inTransaction(batch, () => this.#writeRowByRow(batch, refused));
      return refused;
    }
  }

  #inTransaction(batch: JournalBatch, rows: () => void): void {
    const known = { entryId: this.#lastEntryId, inputId: this.#lastInputId, inputBytes: this.#inputBytes };
    // One that could not be rolled back after the last failure.
    this.#rollBack();
    this.#database.exec("BEGIN IMMEDIATE");
    this.#tls.remember();
    try {
      // Identities are learnt inside the transaction: one that is rolled back must not leave ids behind.
      for (let at = this.#processes.length; at < batch.processes.length; at++) this.#learnProcess(batch, at);
      rows();
      this.#database.exec("COMMIT");
    } catch (thrown) {
      this.#processes.length = 0;
      this.#names.clear();
      this.#tls.forget();
      this.#lastEntryId = known.entryId;
      this.#lastInputId = known.inputId;
      this.#inputBytes = known.inputBytes;
      try {
        this.#rollBack();
      } catch {
        // What failed first is what people must know; the next batch tries again.
      }
      throw thrown;
    }
  }

  #writeRows({ events, inputs }: JournalBatch): void {
    for (let at = 0; at < events.length; at += EVENT_VALUES) this.#insertEvent(events, at);
    for (let at = 0; at < inputs.length; at += 3) this.#keepInput(inputs, at);
  }

  #writeRowByRow({ events, inputs }: JournalBatch, refused: RefusedRow[]): void {
    for (let at = 0; at < events.length; at += EVENT_VALUES) {
      const name = String(events[at + 2]);
      // Learnt before its row, which may be taken back.
      this.#nameId(name, String(events[at + 3]));
      const problem = this.#tryRow(() => this.#insertEvent(events, at));
      if (problem === undefined) continue;
      const withoutTls = this.#tryRow(() => this.#insertEvent(events, at, { withTls: false }));
      if (withoutTls === undefined) refused.push({ what: `details of ${name}`, problem });
      else refused.push({ what: name, problem: withoutTls });
    }
    for (let at = 0; at < inputs.length; at += 3) {
      const problem = this.#tryRow(() => this.#keepInput(inputs, at));
      if (problem !== undefined) refused.push({ what: "an input of the scheduler", problem });
    }
  }

  /** What is wrong with a row, which is then as if it had not been tried. */
  #tryRow(row: () => void): string | undefined {
    const known = { entryId: this.#lastEntryId, inputId: this.#lastInputId };
    this.#database.exec("SAVEPOINT row");
    try {
      row();
      this.#database.exec("RELEASE row");
      return undefined;
    } catch (thrown) {
      if (!isOfRow(thrown)) throw thrown;
      this.#database.exec("ROLLBACK TO row; RELEASE row");
      this.#lastEntryId = known.entryId;
      this.#lastInputId = known.inputId;
      this.#tls.doubt();
      return messageOf(thrown);
    }
  }

  /** Lets go of what is too old or too much, a portion at a time; true when there is more to do. */
  tidy(now: number): boolean {
    const { retentionMs, mostBytes, inputRetentionMs, mostInputBytes } = this.#settings;
    const inputs = tidyInputs(this.#database, now - inputRetentionMs, mostInputBytes, this.#inputBytes);
    this.#inputBytes -= inputs.freedBytes;
    // Inputs that are still too many go by themselves, and no event for them.
    const excess = Math.max(0, this.#inputBytes - mostInputBytes);
    const entries = tidyEntries(this.#database, now - retentionMs, mostBytes + excess);
    const tls = tidyTls(this.#database, now - retentionMs);
    return entries || tls || inputs.isMore;
  }

  close(): void {
    this.#database.close();
  }

  /** SQLite has done so by itself after some failures, a full disk among them. */
  #rollBack(): void {
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
  }

  #insertEvent(events: JournalBatch["events"], from: number, { withTls = true } = {}): void {
    const name = String(events[from + 2]);
    const instant = instantOf(events[from + 1]);
    const process = this.#processes[Number(events[from])] ?? 0;
    const fields = String(events[from + 4]);
    const session = events[from + 5] ?? null;
    this.#lastEntryId = Math.max(this.#lastEntryId + 1, instant * IDS_PER_MS);
    this.#insertEntry.run(
      this.#lastEntryId,
      instant,
      this.#nameId(name, String(events[from + 3])),
      process,
      session,
      events[from + 6] ?? null,
      events[from + 7] ?? null,
      events[from + 8] ?? null,
      events[from + 9] ?? null,
      fields,
    );
    if (!withTls) return;
    this.#tls.hear({
      at: instant,
      process,
      name,
      session: typeof session === "string" ? session : undefined,
      // `eventLine` wrote it.
      fields: () => JSON.parse(fields) as Fields,
      details: events[from + 10] ?? undefined,
    });
  }

  #keepInput(inputs: JournalBatch["inputs"], from: number): void {
    const [at, isStart, json] = inputs.slice(from, from + 3);
    const instant = instantOf(at);
    const text = String(json);
    this.#lastInputId = Math.max(this.#lastInputId + 1, instant * IDS_PER_MS);
    this.#insertInput.run(this.#lastInputId, instant, Number(isStart), text);
    this.#inputBytes += Buffer.byteLength(text);
  }

  #nameId(name: string, level: string): number {
    const key = `${level} ${name}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    this.#database.prepare("INSERT OR IGNORE INTO name (name, level) VALUES (?, ?)").run(name, level);
    const id = Number(
      this.#database.prepare("SELECT id FROM name WHERE name = ? AND level = ?").get(name, level)?.["id"],
    );
    this.#names.set(key, id);
    return id;
  }

  #learnProcess(batch: JournalBatch, index: number): void {
    const process = batch.processes[index];
    if (process === undefined) return;
    const { role, pid, startedAt } = process;
    const key = [role, pid, Math.floor(startedAt)] as const;
    this.#database.prepare("INSERT OR IGNORE INTO process (role, pid, started_at) VALUES (?, ?, ?)").run(...key);
    const find = this.#database.prepare("SELECT id FROM process WHERE role = ? AND pid = ? AND started_at = ?");
    this.#processes[index] = Number(find.get(...key)?.["id"]);
  }

  #highest(table: "entry" | "input"): number {
    return Number(this.#database.prepare(`SELECT max(id) AS highest FROM ${table}`).get()?.["highest"] ?? 0);
  }
}

function openDatabase(path: string): DatabaseSync {
  makeDirectories(dirname(path), 0o750);
  const database = new DatabaseSync(path, { timeout: 5_000 });
  try {
    checkFormat(database, path, journalDatabase);
    // NORMAL: in WAL mode only checkpoints sync, so a power cut loses the newest events but never the database.
    database.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -4096",
    );
    // Tables that came without a new format, too.
    database.exec(JOURNAL_SCHEMA);
    bringToFormat(database, path, journalDatabase);
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

function instantOf(value: unknown): number {
  const instant = Math.floor(Number(value));
  if (!Number.isSafeInteger(instant * IDS_PER_MS)) throw new RangeError(`${String(value)} is no instant`);
  return instant;
}

/** SQLite's results that speak of the values of one row, and would come again however often it is tried. */
const ERRORS_OF_ROWS: ReadonlySet<unknown> = new Set([
  18, // TOOBIG
  20, // MISMATCH
  25, // RANGE
  275, // CONSTRAINT_CHECK
  1299, // CONSTRAINT_NOTNULL
  1555, // CONSTRAINT_PRIMARYKEY
  2067, // CONSTRAINT_UNIQUE
  3091, // CONSTRAINT_DATATYPE
]);

/** Whether it was one of the records rather than the disk or the file. */
function isOfRow(thrown: unknown): boolean {
  if (thrown instanceof TypeError || thrown instanceof RangeError || thrown instanceof SyntaxError) return true;
  return thrown instanceof Error && "errcode" in thrown && ERRORS_OF_ROWS.has(thrown.errcode);
}

if (parentPort !== null) {
  const port = parentPort;
  const settings = workerData as JournalThreadSettings;
  let asides: SetAside[] = [];
  // A journal that cannot be read is put aside, never mended: it is the log's memory, not the mail's.
  const journal = renewedStore(
    settings.path,
    () => new JournalDatabase(settings),
    (what) => asides.push(what),
  );
  let isBegun = false;
  const tidy = (): void => {
    let isMore = false;
    try {
      isMore = isBegun && journal.use((database) => database.tidy(Date.now()));
    } catch {
      // The next batch meets the same trouble and reports it.
    }
    setTimeout(tidy, isMore ? 50 : TIDY_EVERY_MS);
  };
  setTimeout(tidy, TIDY_EVERY_MS);
  port.on("message", (batch: JournalBatch | "close") => {
    let answer: JournalAnswer = { ok: true, refused: [], asides: [] };
    try {
      if (batch === "close") journal.close();
      else {
        isBegun = true;
        answer = { ok: true, refused: journal.use((database) => database.write(batch)), asides };
      }
    } catch (thrown) {
      answer = { ok: false, problem: messageOf(thrown), asides };
    }
    asides = [];
    port.postMessage(answer);
  });
}
