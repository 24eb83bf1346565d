import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { systemCodeOf } from "../../foundation/error.ts";

/** Read and written at once. */
const PORTION_BYTES = 1024 * 1024;

/**
 * Makes the disk hold what the page cache shows of a file: writes each byte over itself, then syncs. A file that does not
 * exist is left alone.
 *
 * After a failed sync Linux counts the data as written: later syncs succeed without it, while reads still find it. A log
 * copied into its database in that state would lie on the disk with its tail missing, behind a database that has the
 * tail: after a power cut older pages of the log would stand over newer ones of the database, which is damage. Nobody
 * may have the file open for writing meanwhile. Throws the system's error; the file is never less whole than before.
 */
export function settleFile(path: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r+");
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return;
    throw thrown;
  }
  try {
    const portion = Buffer.allocUnsafe(PORTION_BYTES);
    for (let at = 0; ;) {
      const length = readSync(descriptor, portion, 0, PORTION_BYTES, at);
      if (length === 0) break;
      for (let written = 0; written < length;)
        written += writeSync(descriptor, portion, written, length - written, at + written);
      at += length;
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
