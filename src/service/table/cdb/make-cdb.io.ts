import { stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { refused, type Result } from "../../../foundation/result.ts";
import { writeWhole } from "../../../foundation/whole-file.io.ts";
import { writtenKey } from "../keyed-candidates.ts";
import { readTableFile } from "../file.io.ts";
import { readContent } from "../read-content.ts";
import type { TableSyntax } from "../settings.ts";
import { cdbPieces, type CdbRecord } from "./cdb.ts";
import type { MadeCdb, MakeProblem } from "./made.ts";
import { formatNote, NOTE_KEY } from "./note.ts";

/** Written at once; larger ones make no faster. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * Makes `file.cdb` of a table's text file: whole or not at all. The new file is synced before it takes the old one's place, so
 * that who reads it, then or after a crash, has the one or the other. It has the mode and owner of its source, for that one
 * may hold passwords.
 */
export async function makeCdb(
  source: string,
  syntax: Exclude<TableSyntax, "regexp">,
  target = `${source}.cdb`,
): Promise<Result<MadeCdb, readonly MakeProblem[]>> {
  try {
    const before = await stat(source);
    const text = await readTableFile(source);
    const { problems, content } = await readContent(source, text, syntax);
    if (problems.length > 0) return refused(problems);
    const records = new Map<string, string>();
    for (const { key, value } of content.entries) {
      const isNegated = key.startsWith("!");
      const folded = `${isNegated ? "!" : ""}${writtenKey(isNegated ? key.slice(1) : key)}`;
      // Twice the same is no mistake, and `readContent` has refused what differs.
      if (!records.has(folded)) records.set(folded, value ?? "");
    }
    const note = formatNote({ source, changedAt: before.mtimeMs, syntax, entries: records.size });
    try {
      await writeWhole(target, (file) => writeCdb(file, recordsOf(records, note), before), 0o600);
    } catch (thrown) {
      if (!isDenied(thrown)) throw thrown;
      const folder = dirname(target);
      const whose = await stat(folder).then(
        ({ uid, gid }) => `, which belongs to uid ${uid}, gid ${gid}`,
        () => "",
      );
      return refused([{ text: `this user may not write into ${folder}${whose}`, isDenied: true }]);
    }
    return { ok: true, value: { file: target, entries: records.size } };
  } catch (thrown) {
    return refused([readProblem(source, thrown)]);
  }
}

function isDenied(thrown: unknown): boolean {
  return ["EACCES", "EPERM"].includes(systemCodeOf(thrown) ?? "");
}

function readProblem(file: string, thrown: unknown): MakeProblem {
  return isDenied(thrown) ? { text: `this user may not read ${file}`, isDenied: true } : { text: messageOf(thrown) };
}

/** What is wrong with an alias file that is read as it is. */
export async function checkAliases(
  file: string,
): Promise<Result<{ readonly entries: number }, readonly MakeProblem[]>> {
  try {
    const { content, problems } = await readContent(file, await readTableFile(file), "aliases");
    return problems.length > 0 ? refused(problems) : { ok: true, value: { entries: content.entries.length } };
  } catch (thrown) {
    return refused([readProblem(file, thrown)]);
  }
}

function* recordsOf(records: ReadonlyMap<string, string>, note: string): Generator<CdbRecord> {
  for (const [key, value] of records) yield { key: Buffer.from(key), value: Buffer.from(value) };
  yield { key: Buffer.from(NOTE_KEY), value: Buffer.from(note) };
}

/** Whoever may read the source may read what is made of it. */
async function writeCdb(
  handle: FileHandle,
  records: Iterable<CdbRecord>,
  { mode, uid, gid }: { mode: number; uid: number; gid: number },
): Promise<void> {
  await writePieces(handle, records);
  await handle.chmod(mode & 0o777);
  if (process.getuid?.() === 0) await handle.chown(uid, gid);
}

async function writePieces(handle: FileHandle, records: Iterable<CdbRecord>): Promise<void> {
  const pieces = cdbPieces(records);
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let waitingAt = 0;
  const flush = async (): Promise<void> => {
    const bytes = Buffer.concat(waiting);
    for (let done = 0; done < bytes.length;)
      done += (await handle.write(bytes, done, bytes.length - done, waitingAt + done)).bytesWritten;
    waiting = [];
    waitingBytes = 0;
  };
  for (;;) {
    const next = pieces.next();
    if (next.done === true) {
      await flush();
      if (!next.value.ok) throw new Error(next.value.problem);
      return;
    }
    const { at, bytes } = next.value;
    if (waitingBytes > 0 && (at !== waitingAt + waitingBytes || waitingBytes >= CHUNK_BYTES)) await flush();
    if (waitingBytes === 0) waitingAt = at;
    waiting.push(bytes);
    waitingBytes += bytes.length;
  }
}
