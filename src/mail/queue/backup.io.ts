import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { refuseNewer } from "../../foundation/database-format.io.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { bodyDirectories } from "./body-names.ts";
import { SPOOL_DIRECTORY_MODE, SPOOL_FILE_MODE } from "./file-layer.io.ts";
import { queueDatabase, STORE_FORMAT } from "./schema.ts";
import { lockSpool } from "./spool-lock.io.ts";
import { createPrivately, databasePath, makeSpoolDirectory, storeError } from "./store-writer.io.ts";

/**
 * Backup and restore of a spool. The backup is a spool itself: `queue.db` as of one instant, the body files that it
 * names, and `backup.json`, written last: a directory without it is no whole backup.
 *
 * Body files never change once a row names them, so on the same file system they are linked rather than copied. While
 * this runs the store keeps files that lose their row (`keepFiles`).
 */
export function copySpool(directory: string, into: string): { messages: number; bytes: number } {
  makeEmptyDirectory(into);
  createPrivately(databasePath(into));
  const source = new DatabaseSync(databasePath(directory), { readOnly: true, timeout: 5000 });
  try {
    source.prepare("VACUUM INTO ?").run(databasePath(into));
  } finally {
    source.close();
  }
  syncPath(databasePath(into));
  const result = takeFiles(directory, into, "link");
  writeManifest(into, result);
  return result;
}

/**
 * Makes a spool of a backup, in a directory that has no queue yet. Checks the database and that every body file is
 * there whole before it says so; the backup stays as it is. Throws `USAGE` when either directory is not fit for it.
 */
export function restore(from: string, into: string): { messages: number; bytes: number } {
  const promised = readManifest(from);
  refuseNewer(databasePath(from), queueDatabase);
  makeEmptyDirectory(into);
  const lock = lockSpool(into);
  try {
    // Under another name until everything is there: half a restore must not look like a queue.
    const arriving = `${into}/restoring.db`;
    copyFileSync(databasePath(from), arriving, constants.COPYFILE_EXCL);
    syncPath(arriving);
    checkIntegrity(arriving, from);
    const result = takeFiles(from, into, "copy", arriving);
    if (result.messages !== promised.messages)
      throw notFit(`${from} holds ${result.messages} messages, its backup.json says ${promised.messages}`);
    renameSync(arriving, databasePath(into));
    syncPath(into);
    return result;
  } finally {
    lock.release();
  }
}

function takeFiles(
  from: string,
  into: string,
  how: "link" | "copy",
  databaseFile = databasePath(into),
): { messages: number; bytes: number } {
  mkdirSync(`${into}/bodies`, { mode: SPOOL_DIRECTORY_MODE });
  const made = new Set<string>();
  let messages = 0;
  let bytes = statSync(databaseFile).size;
  const database = new DatabaseSync(databaseFile, { readOnly: true });
  try {
    for (const row of database.prepare("SELECT body_file, body_bytes FROM messages").iterate()) {
      messages++;
      const name = row["body_file"];
      if (typeof name !== "string") continue;
      const directory = name.slice(0, 2);
      if (!bodyDirectories.includes(directory)) throw notFit(`"${name}" is no name of a body file`);
      if (!made.has(directory)) mkdirSync(`${into}/bodies/${directory}`, { mode: SPOOL_DIRECTORY_MODE });
      made.add(directory);
      takeFile(`${from}/bodies/${name}`, `${into}/bodies/${name}`, how);
      const size = statSync(`${into}/bodies/${name}`).size;
      if (size !== row["body_bytes"])
        throw notFit(`${from}/bodies/${name} has ${size} bytes, not ${String(row["body_bytes"])}`);
      bytes += size;
    }
  } finally {
    database.close();
  }
  for (const directory of made) syncPath(`${into}/bodies/${directory}`);
  syncPath(`${into}/bodies`);
  syncPath(into);
  return { messages, bytes };
}

function takeFile(from: string, to: string, how: "link" | "copy"): void {
  if (how === "link") {
    try {
      linkSync(from, to);
      return;
    } catch (thrown) {
      // Another file system, or one without links, or too many of them.
      if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(systemCodeOf(thrown) ?? "")) throw thrown;
    }
  }
  copyFileSync(from, to, constants.COPYFILE_EXCL);
  syncPath(to);
}

function checkIntegrity(file: string, from: string): void {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const verdict = database.prepare("PRAGMA integrity_check").get()?.["integrity_check"];
    if (verdict !== "ok") throw notFit(`${databasePath(from)} is damaged: ${String(verdict)}`);
  } catch (thrown) {
    throw thrown instanceof PosthornError ? thrown : notFit(storeError(thrown, databasePath(from)).message);
  } finally {
    database.close();
  }
}

function writeManifest(into: string, contents: { messages: number; bytes: number }): void {
  const arriving = `${into}/backup.json.new`;
  writeFileSync(arriving, `${JSON.stringify({ format: STORE_FORMAT, ...contents })}\n`, { mode: SPOOL_FILE_MODE });
  syncPath(arriving);
  renameSync(arriving, `${into}/backup.json`);
  syncPath(into);
}

function readManifest(from: string): { messages: number } {
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(`${from}/backup.json`, "utf8"));
  } catch {
    throw notFit(`${from} is no finished backup: it has no readable backup.json`);
  }
  if (
    typeof manifest !== "object" ||
    manifest === null ||
    !("messages" in manifest) ||
    typeof manifest.messages !== "number"
  )
    throw notFit(`${from}/backup.json does not say how many messages there are`);
  return { messages: manifest.messages };
}

function makeEmptyDirectory(directory: string): void {
  try {
    makeSpoolDirectory(directory);
  } catch (thrown) {
    throw new PosthornError("USAGE", {
      message: `${directory} cannot be made: ${messageOf(thrown)}`,
      advice: "who writes it needs the right to: for a backup that is the server's user",
      cause: thrown,
    });
  }
  const there = readdirSync(directory);
  if (there.length > 0) throw notFit(`${directory} is not empty (${there.slice(0, 3).join(", ")})`);
}

function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function notFit(message: string): PosthornError {
  return new PosthornError("USAGE", {
    message,
    advice: "backups go into an empty directory, and come back from a finished one",
  });
}
