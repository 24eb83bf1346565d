import { rmSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { checkFormat } from "../../../foundation/database-format.io.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { SPOOL_FILE_MODE } from "../file-layer.io.ts";
import { programMark } from "../program-mark.io.ts";
import { queueDatabase } from "../schema.ts";
import { lockSpool } from "../spool-lock.io.ts";
import { databasePath, makeSpoolDirectory } from "../store-writer.io.ts";

export interface HeldSpool {
  /** Nothing is in the queue: another kind of store may have the directory. */
  forget(): void;
  release(): void;
}

/**
 * Takes the queue's directory for a program: one server at a time, and never beside a database that still has mail in it,
 * which nobody would see. Throws `SPOOL_IN_USE` or `SPOOL_REFUSED`.
 */
export function holdSpool(directory: string, program: string): HeldSpool {
  makeSpoolDirectory(directory);
  const lock = lockSpool(directory);
  try {
    const messages = messagesIn(databasePath(directory));
    if (messages > 0)
      throw new PosthornError("SPOOL_REFUSED", {
        message: `${databasePath(directory)} still has ${messages} messages, which a queue program does not know`,
        advice: "let the server deliver them without queue.store, or give this one a state directory of its own",
      });
    writeFileSync(programMark(directory), `${program}\n`, { mode: SPOOL_FILE_MODE });
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
  return {
    forget: () => rmSync(programMark(directory), { force: true }),
    release: () => lock.release(),
  };
}

function messagesIn(file: string): number {
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return 0;
  // Only to read: a log that the last server left behind a failed sync must not get into the database unseen (`settleFile`).
  const database = new DatabaseSync(file, { readOnly: true, timeout: 1000 });
  try {
    checkFormat(database, file, queueDatabase);
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'messages'").get() === undefined) return 0;
    return Number(database.prepare("SELECT count(*) AS n FROM messages").get()?.["n"]);
  } finally {
    database.close();
  }
}
