import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { bringToFormat, checkFormat } from "../../../foundation/database-format.io.ts";
import type { Clock } from "../../../foundation/clock.ts";
import type { DmarcReportPolicy, DmarcReportRow } from "../../../protocol/authentication/dmarc-report.ts";
import { DAY_MS, isTriedAgain, type DmarcReportData, type ShownDmarcReport } from "./dmarc-collector.ts";
import { dmarcDatabase } from "./dmarc-database.ts";
import type { DmarcObservation } from "./dmarc-observation.ts";

/** Observations by day and domain, alike ones in one row. Methods throw when the disk does not do what it should. */
export interface DmarcStore {
  note(observations: readonly DmarcObservation[]): void;
  claim(): DmarcReportData | undefined;
  ended(domain: string, day: number, outcome: string, repeats: boolean, taken?: readonly string[]): void;
  list(): readonly ShownDmarcReport[];
  read(domain: string, day: number): DmarcReportData | undefined;
  hasten(domain: string | undefined): number;
  close(): void;
}

const BUSY_MS = 500;
const CLAIM_MS = 15 * 60_000;
const REPEAT_MS = 60 * 60_000;
/** Behind that an unsent report is given up, and a sent one is forgotten. */
const KEPT_DAYS = 14;
/** Reports of a day leave within so long after it, each domain at its own moment. */
const SPREAD_MS = 2 * 60 * 60_000;
const MOST_ROWS = 200_000;
/**
 * Each is a mail of ours in the end, and whoever has a wildcard in the DNS has as many domains as he likes. So many wait to be
 * sent, and of so many that came to an end it is remembered how.
 */
const MOST_REPORTS = 20_000;
const MOST_ROWS_OF_REPORT = 10_000;
const COUNT_EVERY = 1000;

/** In a database of its own, written through without waiting for the disk: a power cut may cost a few lines of a statistic. */
export function openDmarcStore(
  path: string,
  clock: Clock,
  { mostRows = MOST_ROWS, mostReports = MOST_REPORTS, countEvery = COUNT_EVERY } = {},
): DmarcStore {
  const db = openDatabase(path);
  const addReport = db.prepare(
    `INSERT INTO reports VALUES (?, ?, ?, 1, ?, 0, NULL) ON CONFLICT DO UPDATE SET policy = excluded.policy, mails = mails + 1,
      dueAt = CASE WHEN outcome IS NULL THEN dueAt ELSE excluded.dueAt END, outcome = NULL`,
  );
  const addToReport = db.prepare(
    "UPDATE reports SET policy = ?, mails = mails + 1 WHERE domain = ? AND day = ? AND outcome IS NULL",
  );
  const addRow = db.prepare("INSERT INTO observed VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET mails = mails + 1");
  const addToKnown = db.prepare("UPDATE observed SET mails = mails + 1 WHERE domain = ? AND day = ? AND observed = ?");
  const dropRows = db.prepare("DELETE FROM observed WHERE domain = ? AND day = ?");
  const takenOf = db.prepare("SELECT address FROM taken WHERE domain = ? AND day = ?");
  const addTaken = db.prepare("INSERT OR IGNORE INTO taken VALUES (?, ?, ?)");
  const dropTaken = db.prepare("DELETE FROM taken WHERE domain = ? AND day = ?");
  const dropEnded = db.prepare(
    `DELETE FROM reports WHERE (domain, day) IN
      (SELECT domain, day FROM reports WHERE outcome IS NOT NULL ORDER BY day DESC LIMIT -1 OFFSET ?)`,
  );
  let isFull = false;
  let untilCount = 0;

  const within = (work: () => void): void => {
    db.exec("BEGIN IMMEDIATE");
    try {
      work();
      db.exec("COMMIT");
    } catch (thrown) {
      // SQLite has done so by itself after some failures; what is to be told is the first.
      if (db.isTransaction) db.exec("ROLLBACK");
      throw thrown;
    }
  };
  const sweep = (): void => {
    const oldest = Math.floor(clock.now() / DAY_MS) - KEPT_DAYS;
    db.prepare("DELETE FROM observed WHERE day < ?").run(oldest);
    db.prepare("DELETE FROM reports WHERE day < ?").run(oldest);
    db.prepare("DELETE FROM taken WHERE day < ?").run(oldest);
    dropEnded.run(mostReports);
    const countOf = (what: string): number => Number(db.prepare(`SELECT count(*) AS n FROM ${what}`).get()?.["n"] ?? 0);
    isFull = countOf("observed") >= mostRows || countOf("reports WHERE outcome IS NULL") >= mostReports;
    untilCount = countEvery;
  };
  const read = (domain: string, day: number): DmarcReportData | undefined => {
    const report = db.prepare("SELECT policy, mails FROM reports WHERE domain = ? AND day = ?").get(domain, day);
    if (report === undefined) return undefined;
    const rows = db
      .prepare("SELECT observed, mails FROM observed WHERE domain = ? AND day = ? ORDER BY mails DESC LIMIT ?")
      .all(domain, day, MOST_ROWS_OF_REPORT)
      .map((row): DmarcReportRow => ({
        // Our own writing, two lines above in time.
        ...(JSON.parse(String(row["observed"])) as Omit<DmarcReportRow, "count">),
        count: Number(row["mails"]),
      }));
    const policy = JSON.parse(String(report["policy"])) as DmarcReportPolicy;
    return { domain, day, policy, mails: Number(report["mails"]), rows };
  };

  return {
    note(observations) {
      if (untilCount <= 0) sweep();
      untilCount -= observations.length;
      within(() => {
        for (const { at, domain, policy, ...observed } of observations) {
          const day = Math.floor(at / DAY_MS);
          const text = JSON.stringify(observed);
          // When there is no room, more of what is known is counted all the same, and nothing begins.
          if (isFull) {
            if (Number(addToKnown.run(domain, day, text).changes) > 0)
              addToReport.run(JSON.stringify(policy), domain, day);
          } else {
            addReport.run(domain, day, JSON.stringify(policy), (day + 1) * DAY_MS + spreadOf(domain));
            addRow.run(domain, day, text);
          }
        }
      });
    },
    claim() {
      const now = clock.now();
      const next = db
        .prepare(
          "SELECT domain, day FROM reports WHERE outcome IS NULL AND dueAt <= ? AND claimedUntil <= ? ORDER BY dueAt LIMIT 1",
        )
        .get(now, now);
      if (next === undefined) return undefined;
      const domain = String(next["domain"]);
      const day = Number(next["day"]);
      db.prepare("UPDATE reports SET claimedUntil = ? WHERE domain = ? AND day = ?").run(now + CLAIM_MS, domain, day);
      const data = read(domain, day);
      return data && { ...data, taken: takenOf.all(domain, day).map((row) => String(row["address"])) };
    },
    ended(domain, day, outcome, repeats, taken = []) {
      const now = clock.now();
      const repeatsStill = repeats && isTriedAgain(day, now);
      within(() => {
        db.prepare(
          "UPDATE reports SET outcome = ?, dueAt = ?, claimedUntil = 0, mails = CASE WHEN ? THEN mails ELSE 0 END WHERE domain = ? AND day = ?",
        ).run(repeatsStill ? null : outcome, now + REPEAT_MS, Number(repeatsStill), domain, day);
        for (const address of repeatsStill ? taken : []) addTaken.run(domain, day, address);
        if (repeatsStill) return;
        dropRows.run(domain, day);
        dropTaken.run(domain, day);
      });
    },
    list: () =>
      db
        .prepare("SELECT domain, day, mails, dueAt, outcome FROM reports ORDER BY day DESC, domain LIMIT 10000")
        .all()
        .map((row) => ({
          domain: String(row["domain"]),
          day: Number(row["day"]),
          mails: Number(row["mails"]),
          state:
            row["outcome"] === null
              ? Number(row["dueAt"]) <= clock.now()
                ? "due"
                : "collecting"
              : String(row["outcome"]),
        })),
    read,
    hasten(domain) {
      const { changes } = db
        .prepare("UPDATE reports SET dueAt = ?, claimedUntil = 0 WHERE outcome IS NULL AND (? IS NULL OR domain = ?)")
        .run(clock.now(), domain ?? null, domain ?? null);
      return Number(changes);
    },
    close: () => db.close(),
  };
}

function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    checkFormat(db, path, dmarcDatabase);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    bringToFormat(db, path, dmarcDatabase);
    // Who has a report that is still to go to others. An older Posthorn overlooks it, and sends those a second one.
    db.exec(`CREATE TABLE IF NOT EXISTS taken (domain TEXT NOT NULL, day INTEGER NOT NULL, address TEXT NOT NULL,
      PRIMARY KEY (domain, day, address)) WITHOUT ROWID`);
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

function spreadOf(domain: string): number {
  return createHash("sha256").update(domain).digest().readUInt32BE() % SPREAD_MS;
}
