import { stat } from "node:fs/promises";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { readRegularFile, UnfitFile } from "../../foundation/read-file.io.ts";
import { FreshLook } from "./fresh-look.ts";
import type { TableFile, TableFinding } from "./tables.ts";

/** Larger tables belong into an indexed backend: this one is read as a whole and kept in memory. */
const MOST_TABLE_BYTES = 64 * 1024 * 1024;

/**
 * What has become shorter may be half of a new version: whoever writes a file in its place empties it first. Names that are
 * missing in that half would be refused for good.
 */
const SHORTER_RESTS_MS = 2000;
/** The program that fills it may still be asking a database what to write. No shorter version waits longer than that. */
const EMPTY_RESTS_MS = 30_000;

/**
 * A table file that is read again when it changes. What was read last stays in force while the file is gone, cannot be
 * read, or is just being written: it is taken only when its time and size were the same before and after reading, and
 * a shorter version when nobody has written to it for a while. `initial` is text that somebody with more rights has read before.
 */
export function watchedFile(
  table: string,
  path: string,
  clock: Clock,
  onFinding: (finding: TableFinding) => void,
  initial?: string,
): TableFile {
  let text = initial;
  let bytes = initial === undefined ? 0 : Buffer.byteLength(initial);
  let version = 0;
  /** A version that must rest first, since when it is known, and since when no version was taken for that. */
  let waiting: { readonly mark: string; readonly sinceMs: number; readonly firstMs: number } | undefined;
  let mark: string | undefined;
  let changedAt: number | undefined;
  let failure = "";

  const fail = (words: string): void => {
    if (failure !== words)
      onFinding({ table, text: `${words}${text === undefined ? "" : "; the version before stays in force"}` });
    failure = words;
  };
  const rests = (now: FileMark): boolean => {
    const leastMs = !now.isFile || now.size >= bytes ? 0 : now.size === 0 ? EMPTY_RESTS_MS : SHORTER_RESTS_MS;
    if (leastMs === 0) return true;
    const nowMs = clock.monotonicMs();
    if (waiting?.mark !== now.mark) waiting = { mark: now.mark, sinceMs: nowMs, firstMs: waiting?.firstMs ?? nowMs };
    // The file's time may come from a clock ahead of ours, and ours may have been set back since.
    const restedMs = Math.max(clock.now() - now.mtimeMs, nowMs - waiting.sinceMs);
    // One version after the other may be whole, and each a new file.
    return restedMs >= leastMs || (now.size > 0 && nowMs - waiting.firstMs >= EMPTY_RESTS_MS);
  };
  const look = async (): Promise<void> => {
    try {
      const now = await markOf(path);
      const { mark: before, mtimeMs } = now;
      if (before === mark) {
        failure = "";
        return;
      }
      if (!rests(now)) return;
      const read = await readTableFile(path);
      if ((await markOf(path)).mark !== before) return;
      failure = "";
      mark = before;
      changedAt = mtimeMs;
      waiting = undefined;
      bytes = now.size;
      if (read === text) return;
      text = read;
      version++;
    } catch (thrown) {
      fail(messageOf(thrown));
    }
  };
  const fresh = new FreshLook(clock, look);
  return {
    async current() {
      // Only who has nothing yet waits for as long as the disk takes; everybody else takes what is in force.
      await fresh.before({ needs: text === undefined });
      return text === undefined
        ? { ok: false, text: failure === "" ? `${path} is just being written` : failure }
        : { ok: true, text, version, changedAt };
    },
  };
}

/** Throws with a text for people. A pipe, a device and what is larger than a table may be are told, not read. */
export async function readTableFile(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MOST_TABLE_BYTES)).toString("utf8");
  } catch (thrown) {
    throw thrown instanceof UnfitFile ? new Error(`${path} ${thrown.what}`, { cause: thrown }) : thrown;
  }
}

interface FileMark {
  readonly mark: string;
  readonly mtimeMs: number;
  readonly size: number;
  readonly isFile: boolean;
}

async function markOf(path: string): Promise<FileMark> {
  const facts = await stat(path);
  const { mtimeMs, size, ino } = facts;
  return { mark: `${mtimeMs} ${size} ${ino}`, mtimeMs, size, isFile: facts.isFile() };
}
