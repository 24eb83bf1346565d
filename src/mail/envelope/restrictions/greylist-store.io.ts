import { DatabaseSync } from "node:sqlite";
import { isDamaged } from "../../../foundation/damaged-database.io.ts";
import { bringToFormat, checkFormat } from "../../../foundation/database-format.io.ts";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { decideGreylist, type GreylistAsk, type GreylistEntry, type GreylistTerms } from "./greylist.ts";
import { greylistDatabase } from "./greylist-database.ts";
import type { GreylistRow, GreylistStore } from "./greylist-store.ts";

const SWEEP_MS = 10 * 60_000;
const BUSY_MS = 500;
const MOST_LISTED = 10_000;

/**
 * In a database of its own. Written through without waiting for the disk: what a power cut takes is a mail that has to come
 * once more. What nobody will ask for any more is swept every ten minutes, and what is too much.
 */
export function openGreylistStore(path: string, clock: Clock): GreylistStore {
  const db = openDatabase(path);
  const tripletOf = db.prepare(
    "SELECT firstAt, lastAt, hasPassed FROM triplets WHERE network = ? AND sender = ? AND recipient = ?",
  );
  const networkOf = db.prepare("SELECT passes, lastPassAt, lastAt, isByHand FROM networks WHERE network = ?");
  const keepTriplet = db.prepare("INSERT OR REPLACE INTO triplets VALUES (?, ?, ?, ?, ?, ?)");
  const keepNetwork = db.prepare("INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?, ?)");
  /** The longest that anybody asked with. */
  let terms: GreylistTerms | undefined;
  let sweeper: Timer | undefined;
  let damage: unknown;
  let asksUntilCount = 0;

  const sweep = (): void => {
    sweeper = undefined;
    if (terms === undefined) return;
    const now = clock.now();
    const { retryWithin, rememberFor, mostEntries } = terms;
    db.prepare("DELETE FROM triplets WHERE hasPassed = 0 AND lastAt < ?").run(now - retryWithin);
    db.prepare("DELETE FROM triplets WHERE hasPassed = 1 AND lastAt < ?").run(now - rememberFor);
    db.prepare("DELETE FROM networks WHERE isByHand = 0 AND lastAt < ?").run(now - rememberFor);
    const networks = Number(db.prepare("SELECT count(*) AS n FROM networks WHERE isByHand = 0").get()?.["n"] ?? 0);
    if (networks > mostEntries)
      db.prepare(
        "DELETE FROM networks WHERE network IN (SELECT network FROM networks WHERE isByHand = 0 ORDER BY lastAt LIMIT ?)",
      ).run(networks - mostEntries);
    shrink(mostEntries);
  };
  /** Those who wait go first, the oldest of them; then those who were not seen for longest. */
  const shrink = (most: number): void => {
    const count = Number(db.prepare("SELECT count(*) AS n FROM triplets").get()?.["n"] ?? 0);
    asksUntilCount = Math.max(1, Math.floor((most - count) / 2));
    if (count <= most) return;
    db.prepare(
      `DELETE FROM triplets WHERE (network, sender, recipient) IN
        (SELECT network, sender, recipient FROM triplets ORDER BY hasPassed, lastAt LIMIT ?)`,
    ).run(count - Math.floor(most * 0.9));
    asksUntilCount = Math.max(1, Math.floor(most / 20));
  };

  return {
    ask(given: GreylistAsk) {
      if (damage !== undefined) throw damage;
      const { triplet } = given;
      terms = longest(terms, given.terms);
      const { network, sender, recipient } = triplet;
      const decision = decideGreylist(
        clock.now(),
        given.terms,
        entryOf(tripletOf.get(network, sender, recipient)),
        knownNetwork(networkOf.get(network)),
      );
      const { entry, network: known } = decision;
      if (entry !== undefined)
        keepTriplet.run(network, sender, recipient, entry.firstAt, entry.lastAt, Number(entry.hasPassed));
      if (known !== undefined)
        keepNetwork.run(network, known.passes, known.lastPassAt, known.lastAt, Number(known.isByHand));
      // Nobody waits for the sweep, and nothing keeps a process alive for it.
      sweeper ??= clock.after(SWEEP_MS, () => {
        try {
          sweep();
        } catch (thrown) {
          // A disk that is full: the next question says so to whoever asks it. Damage it may not come across.
          if (isDamaged(thrown)) damage = thrown;
        }
      });
      if (--asksUntilCount < 0) shrink(terms.mostEntries);
      return decision.answer;
    },
    list({ state, text = "" }) {
      const like = `%${text.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`;
      const rows: GreylistRow[] = [];
      if (state !== "networks")
        for (const row of db
          .prepare(
            `SELECT * FROM triplets WHERE hasPassed IN (?, ?) AND
              (network LIKE ? ESCAPE '\\' OR sender LIKE ? ESCAPE '\\' OR recipient LIKE ? ESCAPE '\\')
              ORDER BY lastAt DESC LIMIT ?`,
          )
          .all(state === "passed" ? 1 : 0, state === "waiting" ? 0 : 1, like, like, like, MOST_LISTED))
          rows.push({
            state: row["hasPassed"] === 1 ? "passed" : "waiting",
            network: String(row["network"]),
            sender: String(row["sender"]),
            recipient: String(row["recipient"]),
            firstAt: Number(row["firstAt"]),
            lastAt: Number(row["lastAt"]),
          });
      if (state === undefined || state === "networks")
        for (const row of db
          .prepare("SELECT * FROM networks WHERE network LIKE ? ESCAPE '\\' ORDER BY lastAt DESC LIMIT ?")
          .all(like, MOST_LISTED))
          rows.push({
            state: row["isByHand"] === 1 ? "allowed" : "network",
            network: String(row["network"]),
            lastAt: Number(row["lastAt"]),
            passes: Number(row["passes"]),
          });
      return rows;
    },
    remove(which) {
      const key = which.toLowerCase();
      const domain = `%@${key.replace(/^@/, "").replace(/[\\%_]/g, "\\$&")}`;
      const { changes } = db
        .prepare(
          `DELETE FROM triplets WHERE network = ? OR sender = ? OR recipient = ?
            OR sender LIKE ? ESCAPE '\\' OR recipient LIKE ? ESCAPE '\\'`,
        )
        .run(key, key, key, domain, domain);
      return Number(changes) + Number(db.prepare("DELETE FROM networks WHERE network = ?").run(key).changes);
    },
    allow(network) {
      keepNetwork.run(network, 0, 0, clock.now(), 1);
    },
    close() {
      sweeper?.cancel();
      db.close();
    },
  };
}

function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    checkFormat(db, path, greylistDatabase);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    bringToFormat(db, path, greylistDatabase);
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

function longest(known: GreylistTerms | undefined, given: GreylistTerms): GreylistTerms {
  if (known === undefined) return given;
  return {
    ...given,
    retryWithin: Math.max(known.retryWithin, given.retryWithin),
    rememberFor: Math.max(known.rememberFor, given.rememberFor),
    mostEntries: Math.max(known.mostEntries, given.mostEntries),
  };
}

function entryOf(row: Record<string, unknown> | undefined): GreylistEntry | undefined {
  if (row === undefined) return undefined;
  return { firstAt: Number(row["firstAt"]), lastAt: Number(row["lastAt"]), hasPassed: row["hasPassed"] === 1 };
}

function knownNetwork(row: Record<string, unknown> | undefined) {
  if (row === undefined) return undefined;
  return {
    passes: Number(row["passes"]),
    lastPassAt: Number(row["lastPassAt"]),
    lastAt: Number(row["lastAt"]),
    isByHand: row["isByHand"] === 1,
  };
}
