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
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { refuseNewer } from "../../foundation/database-format.io.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { bodyDirectories, messageOfBodyFile } from "./body-names.ts";
import { SPOOL_DIRECTORY_MODE, SPOOL_FILE_MODE } from "./file-layer.io.ts";
import { queueDatabase, STORE_FORMAT } from "./schema.ts";
import { lockSpool } from "./spool-lock.io.ts";
import type { SpoolCopy } from "./store.ts";
import { createPrivately, databasePath, makeSpoolDirectory, storeError } from "./store-writer.io.ts";

const MOST_TOLD = 20;

/**
 * Backup and restore of a spool. The backup is a spool itself: `queue.db` as of one instant, the body files that it
 * names, and `backup.json`, written last: a directory without it is no whole backup. A file that the disk has lost, or
 * gives back too short, keeps nothing else from being saved: `backup.json` names it, and a restore takes no more as lost.
 *
 * Body files never change once a row names them, so on the same file system they are linked rather than copied. While
 * this runs the store keeps files that lose their row (`keepFiles`).
 */
export function copySpool(directory: string, into: string): SpoolCopy {
  makeEmptyDirectory(into);
  createPrivately(databasePath(into));
  const source = new DatabaseSync(databasePath(directory), { readOnly: true, timeout: 5000 });
  try {
    source.prepare("VACUUM INTO ?").run(databasePath(into));
  } finally {
    source.close();
  }
  syncPath(databasePath(into));
  const lost: string[] = [];
  const taken = takeFiles(directory, into, "link", (name) => void lost.push(name));
  writeManifest(into, { ...taken, lost });
  return { ...taken, lost: toldOf(lost) };
}

/**
 * Makes a spool of a backup, in a directory that has no queue yet. Checks the database and that every body file that the
 * backup was made with is there whole before it says so; the backup stays as it is. Throws `USAGE` when either directory is not fit for it.
 */
export function restore(from: string, into: string): SpoolCopy {
  const promised = readManifest(from);
  refuseNewer(databasePath(from), queueDatabase);
  makeEmptyDirectory(into);
  const lock = lockSpool(into);
  let isDone = false;
  try {
    // Under another name until everything is there: half a restore must not look like a queue.
    const arriving = `${into}/restoring.db`;
    copyFileSync(databasePath(from), arriving, constants.COPYFILE_EXCL);
    syncPath(arriving);
    checkIntegrity(arriving, from);
    const lost: string[] = [];
    const onLost = (name: string, why: string): void => {
      if (!promised.lost.has(name)) throw notFit(why, `put the file back, or name ${name} in \`lost\` of backup.json`);
      lost.push(name);
    };
    const taken = takeFiles(from, into, "copy", onLost, arriving);
    if (taken.messages !== promised.messages)
      throw notFit(`${from} holds ${taken.messages} messages, its backup.json says ${promised.messages}`);
    renameSync(arriving, databasePath(into));
    syncPath(into);
    isDone = true;
    return { ...taken, lost: toldOf(lost) };
  } finally {
    lock.release();
    // It was empty before: whoever tries again must not be told of half of this.
    if (!isDone) for (const name of readdirSync(into)) rmSync(`${into}/${name}`, { recursive: true, force: true });
  }
}

type OnLost = (name: string, why: string) => void;

function takeFiles(
  from: string,
  into: string,
  how: "link" | "copy",
  onLost: OnLost,
  databaseFile = databasePath(into),
): Omit<SpoolCopy, "lost"> {
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
      const [source, target] = [`${from}/bodies/${name}`, `${into}/bodies/${name}`];
      const trouble = takeFile(source, target, how);
      if (trouble !== undefined) {
        onLost(name, trouble);
        continue;
      }
      const { size } = statSync(target);
      bytes += size;
      // What is there of it is taken: the queue that it comes from has no more either.
      if (size !== row["body_bytes"]) onLost(name, `${source} has ${size} bytes, not ${String(row["body_bytes"])}`);
    }
  } finally {
    database.close();
  }
  for (const directory of made) syncPath(`${into}/bodies/${directory}`);
  syncPath(`${into}/bodies`);
  syncPath(into);
  return { messages, bytes };
}

/** Why there is no such file, where the one to be taken is to blame. */
function takeFile(from: string, to: string, how: "link" | "copy"): string | undefined {
  if (how === "link") {
    try {
      linkSync(from, to);
      return undefined;
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return `${from} is missing`;
      // Another file system, or one without links, or too many of them.
      if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(systemCodeOf(thrown) ?? "")) throw thrown;
    }
  }
  try {
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  } catch (thrown) {
    const code = systemCodeOf(thrown);
    if (code === "ENOENT") return `${from} is missing`;
    if (code !== "EIO") throw thrown;
    rmSync(to, { force: true });
    return `${from} cannot be read: ${messageOf(thrown)}`;
  }
  syncPath(to);
  return undefined;
}

/** What people are told of lost content: how much, and some of the messages. */
function toldOf(lost: readonly string[]): SpoolCopy["lost"] {
  return { count: lost.length, messages: lost.slice(0, MOST_TOLD).map((name) => messageOfBodyFile(name) ?? name) };
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

function writeManifest(into: string, contents: Omit<SpoolCopy, "lost"> & { readonly lost: readonly string[] }): void {
  const arriving = `${into}/backup.json.new`;
  const { lost, ...counted } = contents;
  const said = { format: STORE_FORMAT, ...counted, ...(lost.length === 0 ? {} : { lost }) };
  writeFileSync(arriving, `${JSON.stringify(said)}\n`, { mode: SPOOL_FILE_MODE });
  syncPath(arriving);
  renameSync(arriving, `${into}/backup.json`);
  syncPath(into);
}

function readManifest(from: string): { readonly messages: number; readonly lost: ReadonlySet<string> } {
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
  const lost: readonly unknown[] = "lost" in manifest && Array.isArray(manifest.lost) ? manifest.lost : [];
  return { messages: manifest.messages, lost: new Set(lost.filter((name) => typeof name === "string")) };
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

function notFit(
  message: string,
  advice = "backups go into an empty directory, and come back from a finished one",
): PosthornError {
  return new PosthornError("USAGE", { message, advice });
}
