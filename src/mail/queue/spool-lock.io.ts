import { readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { PosthornError, messageOf } from "../../foundation/error.ts";

/**
 * One server per spool. The lock is SQLite's own on an empty database file (`lock.db`, never written, so never
 * damaged): the kernel frees it with the process, however that ends, and it also holds between two stores of one
 * process. Who holds it stands in `owner`, for the message to the second one.
 */
export interface SpoolLock {
  release(): void;
}

export function lockSpool(directory: string): SpoolLock {
  const ownerFile = `${directory}/owner`;
  const database = new DatabaseSync(`${directory}/lock.db`, { timeout: 0 });
  try {
    // Reserves the right to write, which one connection can have at a time; nothing is ever written.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE");
  } catch (thrown) {
    database.close();
    // SQLITE_BUSY
    if (errcodeOf(thrown) !== 5) throw thrown;
    const owner = ownerOf(ownerFile);
    throw new PosthornError("SPOOL_IN_USE", {
      message: `the queue in ${directory} is in use by ${owner === undefined ? "another process" : `process ${owner}`}`,
      advice: "stop that server first, or give this one a directory of its own",
      cause: thrown,
    });
  }
  writeFileSync(ownerFile, `${process.pid}\n`, { mode: 0o644 });
  return { release: () => database.close() };
}

function ownerOf(file: string): string | undefined {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^\d+$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** SQLite's (extended) result code of a thrown error; undefined for other errors. */
export function errcodeOf(thrown: unknown): number | undefined {
  if (typeof thrown !== "object" || thrown === null || !("errcode" in thrown)) return undefined;
  return typeof thrown.errcode === "number" ? thrown.errcode : undefined;
}

/** The same for people: `disk I/O error (SQLite 1034)`. */
export function sqliteProblem(thrown: unknown): string {
  const code = errcodeOf(thrown);
  return code === undefined ? messageOf(thrown) : `${messageOf(thrown)} (SQLite ${code})`;
}
