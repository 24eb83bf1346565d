import { closeSync, openSync, readSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { HEADER_BYTES, markOf, markProblem, type DatabaseKind, type DatabaseMark } from "./database-format.ts";
import { PosthornError, systemCodeOf } from "./error.ts";

/**
 * Throws `STORE_VERSION` when the file is of a newer format than this Posthorn knows. Reads the header alone: no database
 * is opened, so nothing is made, recovered or locked. What is not there, cannot be read or is no database is left to
 * whoever opens it.
 */
export function refuseNewer(file: string, kind: DatabaseKind): void {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (thrown) {
    if (systemCodeOf(thrown) !== undefined) return;
    throw thrown;
  }
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    const mark = markOf(header.subarray(0, readSync(descriptor, header, 0, HEADER_BYTES, 0)));
    if (mark !== undefined && markProblem(mark, kind) === "newer") throw newer(file, mark, kind);
  } finally {
    closeSync(descriptor);
  }
}

/** The same of an open database, before anything is written to it; and refuses those of other programs. */
export function checkFormat(database: DatabaseSync, file: string, kind: DatabaseKind): void {
  const mark = markIn(database);
  const problem = isEmpty(database) ? undefined : markProblem(mark, kind);
  if (problem === "newer") throw newer(file, mark, kind);
  if (problem !== undefined)
    throw new PosthornError("STORE_VERSION", {
      message: `${file} is a database, but does not hold ${kind.holds} of a Posthorn`,
      advice: "set another directory, or move that file away",
    });
}

/** Makes the tables of an empty database, and brings an older one to the present format: wholly, or not at all. */
export function bringToFormat(database: DatabaseSync, file: string, kind: DatabaseKind): void {
  const { application, format } = markIn(database);
  if (application === kind.application && format === kind.format) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    // Another process may have been quicker.
    if (isEmpty(database)) database.exec(kind.schema);
    else for (let at = markIn(database).format; at < kind.format; at++) database.exec(stepFrom(at, file, kind));
    database.exec(`PRAGMA application_id = ${kind.application}; PRAGMA user_version = ${kind.format}; COMMIT`);
  } catch (thrown) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw thrown;
  }
}

function stepFrom(format: number, file: string, kind: DatabaseKind): string {
  const step = kind.steps[format];
  if (step !== undefined) return step;
  throw new PosthornError("STORE_VERSION", {
    message: `${file} has format ${format}, and this Posthorn knows no way from there to format ${kind.format}`,
    advice: `start the Posthorn that wrote it; ${kind.otherwise}`,
  });
}

function newer(file: string, { format }: DatabaseMark, kind: DatabaseKind): PosthornError {
  return new PosthornError("STORE_VERSION", {
    message: `${file} has format ${format}; this Posthorn knows ${kind.holds} in formats up to ${kind.format}`,
    advice: `start the newer Posthorn that wrote it; ${kind.otherwise}`,
  });
}

function markIn(database: DatabaseSync): DatabaseMark {
  const pragma = (name: string): number => Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
  return { application: pragma("application_id"), format: pragma("user_version") };
}

function isEmpty(database: DatabaseSync): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
}
