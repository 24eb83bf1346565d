import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import type { Result } from "../../../foundation/result.ts";
import { backendTally, fileHealth } from "../backend-tally.ts";
import { FreshLook } from "../fresh-look.ts";
import { withoutKey, type BackendProblem, type FirstAnswer, type KeyedBackend } from "../keyed-backend.ts";
import type { TableAnswer, TableEntry } from "../table.ts";
import type { TableFinding } from "../tables.ts";
import { openCdb, type Cdb } from "./cdb.ts";
import { CDB_FORMAT, NOTE_KEY, parseNote, type CdbNote } from "./note.ts";
import type { CdbSettings } from "./settings.ts";

/** Whether the file was replaced is looked at so often while it is written over in place. */
const LOOK_AGAIN_MS = 100;
/** More than this is not gone through: who wants all of it reads the text that it was made of. */
const MOST_ENTRIES = 200_000;

interface Open {
  readonly descriptor: number;
  readonly cdb: Cdb;
  readonly mark: string;
  readonly inode: string;
  readonly changedAt: number;
  readonly note: CdbNote | undefined;
  /** Postfix and others may end keys and values with a zero byte. */
  readonly end: string;
}

/**
 * Reads an indexed file. A lookup reads some hundred bytes where the file says they are, from the system's cache as a rule;
 * nothing is kept in memory. A file that is replaced (as `makemap` does) is opened anew; one that is torn leaves the old one in
 * force.
 */
export function cdbBackend(
  table: string,
  { file }: CdbSettings,
  world: { readonly clock: Clock; readonly onFinding: (finding: TableFinding) => void },
): KeyedBackend {
  const { clock } = world;
  const tally = backendTally(clock);
  let open: Open | undefined;
  let failure = "";
  let told = "";
  let isClosed = false;

  const tell = (text: string): void => {
    if (told !== text) world.onFinding({ table, text });
    told = text;
  };
  const put = (next: Open | undefined): void => {
    if (open !== undefined) closeSync(open.descriptor);
    open = next;
  };
  const look = async (): Promise<void> => {
    try {
      const { mtimeMs, size, ino, dev } = await stat(file);
      if (isClosed) return;
      if (open?.mark !== markOf({ mtimeMs, size, ino, dev })) take();
      // It was away for a while, and is what it was.
      else if (failure !== "") settled();
      if (open !== undefined) await checkSource(open);
    } catch (thrown) {
      failed(describe(file, thrown), false);
    }
  };
  const take = (): void => {
    const next = openFile(file);
    if (typeof next !== "string") {
      put(next);
      settled();
      return;
    }
    failed(next, inodeOf(file) === open?.inode);
  };
  const settled = (): void => {
    failure = "";
    told = "";
    tally.mended();
  };
  /** `isSame`: what was in force has itself been overwritten, and is no more. */
  const failed = (text: string, isSame: boolean): void => {
    failure = text;
    if (isSame) put(undefined);
    tell(
      `${text}${open === undefined ? "; lookups fail until it is repaired" : "; the version before stays in force"}`,
    );
  };
  const checkSource = async ({ note }: Open): Promise<void> => {
    if (note === undefined) return;
    try {
      const { mtimeMs } = await stat(note.source);
      if (mtimeMs > note.changedAt)
        tell(`${note.source} was changed after ${file} was made of it: run posthorn makemap or newaliases`);
    } catch {
      // The source may be gone, or be nothing that we may look at: the indexed file stands for itself.
    }
  };
  const fresh = new FreshLook(clock, look);
  const ask = async (keys: readonly string[]): Promise<FirstAnswer> => {
    // Of a file that somebody writes over in place, half is old and half is new: no answer is better than either.
    const isOverwritten = open !== undefined && statusOf(open.descriptor) !== open.mark;
    const wait = fresh.before(isOverwritten ? { needs: true, everyMs: LOOK_AGAIN_MS } : { needs: open === undefined });
    if (wait !== undefined) await wait;
    if (isClosed) return { kind: "failed", text: `${file} is closed` };
    if (open === undefined) return { kind: "failed", text: failure === "" ? `${file} could not be opened` : failure };
    if (statusOf(open.descriptor) !== open.mark) return { kind: "failed", text: `${file} is being written in place` };
    for (const key of keys) {
      const found = getFrom(open, key);
      if (!found.ok) return { kind: "failed", text: `${file} ${found.problem}` };
      if (found.value !== undefined) return { kind: "found", key, value: found.value, where: file };
    }
    return { kind: "none" };
  };
  return {
    get: (key) => tally.count(async () => withoutKey(await ask([key]))),
    first: (keys) => tally.count(() => ask(keys)),
    async entries(): Promise<TableAnswer<readonly TableEntry[]>> {
      const asked = await ask([]);
      if (asked.kind === "failed" || open === undefined)
        return { kind: "failed", text: failure || `${file} is closed` };
      const entries: TableEntry[] = [];
      for (const record of open.cdb.records()) {
        if (!record.ok) return { kind: "failed", text: `${file} ${record.problem}` };
        const key = textOf(record.value.key);
        if (key === NOTE_KEY) continue;
        if (entries.length === MOST_ENTRIES)
          return { kind: "failed", text: `${file} has more than ${MOST_ENTRIES} entries` };
        const value = textOf(record.value.value);
        entries.push({ key, value: value === "" ? undefined : value, where: file });
      }
      return { kind: "found", value: entries, where: file };
    },
    async probe(): Promise<readonly BackendProblem[]> {
      const asked = await ask([]);
      if (asked.kind === "failed") return [{ path: [], text: asked.text }];
      return told === "" ? [] : [{ path: [], text: told }];
    },
    look: () => fresh.now(),
    health: () => ({
      ...fileHealth(tally.health(file), open !== undefined, failure),
      ...(open === undefined ? {} : { entries: open.note?.entries, changedAt: open.changedAt }),
    }),
    close() {
      isClosed = true;
      put(undefined);
      return Promise.resolve();
    },
  };
}

/** What is in it, or why it can't be used. */
function openFile(file: string): Open | string {
  let descriptor: number;
  try {
    // Whatever stands at the path by now: nobody waits for a pipe's writer.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (thrown) {
    return describe(file, thrown);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) {
      closeSync(descriptor);
      return `${file} is no regular file`;
    }
    const read = (at: number, length: number): Uint8Array => {
      const bytes = Buffer.allocUnsafe(length);
      return bytes.subarray(0, readSync(descriptor, bytes, 0, length, at));
    };
    const cdb = openCdb(read, status.size);
    if (!cdb.ok) {
      closeSync(descriptor);
      return `${file} ${cdb.problem}`;
    }
    const [first] = cdb.value.records();
    const found = cdb.value.get(Buffer.from(NOTE_KEY));
    const note = found.ok ? parseNote(found.value) : undefined;
    if (note !== undefined && note.format > CDB_FORMAT) {
      closeSync(descriptor);
      return `${file} has format ${note.format}, and this Posthorn knows formats up to ${CDB_FORMAT}: make it anew (posthorn makemap)`;
    }
    return {
      descriptor,
      cdb: cdb.value,
      mark: markOf(status),
      inode: `${status.dev} ${status.ino}`,
      changedAt: status.mtimeMs,
      note,
      end: first?.ok === true && first.value.key.at(-1) === 0 ? "\u0000" : "",
    };
  } catch (thrown) {
    closeSync(descriptor);
    return describe(file, thrown);
  }
}

function getFrom({ cdb, end }: Open, key: string): Result<string | undefined, string> {
  if (key === NOTE_KEY) return { ok: true, value: undefined };
  try {
    const found = cdb.get(Buffer.from(`${key}${end}`));
    return found.ok && found.value !== undefined
      ? { ok: true, value: textOf(found.value) }
      : (found as Result<undefined, string>);
  } catch (thrown) {
    return { ok: false, problem: `could not be read: ${messageOf(thrown)}` };
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(
    bytes.buffer,
    bytes.byteOffset,
    bytes.at(-1) === 0 ? bytes.byteLength - 1 : bytes.byteLength,
  ).toString("utf8");
}

function statusOf(descriptor: number): string {
  return markOf(fstatSync(descriptor));
}

function inodeOf(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

function markOf({ mtimeMs, size, ino, dev }: { mtimeMs: number; size: number; ino: number; dev: number }): string {
  return `${dev} ${ino} ${size} ${mtimeMs}`;
}

function describe(file: string, thrown: unknown): string {
  const code = systemCodeOf(thrown);
  if (code === "ENOENT") return `${file} does not exist`;
  if (code === "EACCES" || code === "ERR_ACCESS_DENIED") return `${file} may not be read by this user`;
  return `${file}: ${messageOf(thrown)}`;
}
