import { readFile, stat } from "node:fs/promises";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { TableFile, TableFinding } from "./tables.ts";

/** Larger tables belong into an indexed backend: this one is read as a whole and kept in memory. */
const MOST_TABLE_BYTES = 64 * 1024 * 1024;
/** A changed file is noticed this long after the change at the latest, at the next lookup. */
const LOOK_EVERY_MS = 1000;

/**
 * A table file that is read again when it changes. What was read last stays in force while the file is gone, cannot be
 * read, or is just being written: it is taken only when its time and size were the same before and after reading.
 * `initial` is text that somebody with more rights has read before.
 */
export function watchedFile(
  table: string,
  path: string,
  clock: Clock,
  onFinding: (finding: TableFinding) => void,
  initial?: string,
): TableFile {
  let text = initial;
  let version = 0;
  let mark: string | undefined;
  let failure = "";
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;

  const fail = (words: string): void => {
    if (failure !== words)
      onFinding({ table, text: `${words}${text === undefined ? "" : "; the version before stays in force"}` });
    failure = words;
  };
  const look = async (): Promise<void> => {
    try {
      const before = await markOf(path);
      if (before === mark) {
        failure = "";
        return;
      }
      const read = await readTableFile(path);
      if ((await markOf(path)) !== before) return;
      failure = "";
      mark = before;
      if (read === text) return;
      text = read;
      version++;
    } catch (thrown) {
      fail(messageOf(thrown));
    }
  };
  return {
    async current() {
      const nowMs = clock.monotonicMs();
      if (looking === undefined && nowMs - lookedAt >= LOOK_EVERY_MS) {
        lookedAt = nowMs;
        looking = look().finally(() => {
          looking = undefined;
        });
      }
      // Only who has nothing yet waits for the disk; everybody else takes what is in force.
      if (text === undefined && looking !== undefined) await looking;
      return text === undefined
        ? { ok: false, text: failure === "" ? `${path} is just being written` : failure }
        : { ok: true, text, version };
    },
  };
}

/** Throws with a text for people. */
export async function readTableFile(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MOST_TABLE_BYTES) throw new Error(`${path} is larger than 64 MiB`);
  return await readFile(path, "utf8");
}

async function markOf(path: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(path);
  return `${mtimeMs} ${size} ${ino}`;
}
