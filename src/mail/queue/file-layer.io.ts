import { createReadStream } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { systemCodeOf } from "../../foundation/error.ts";
import { fileSystem, ifThere } from "../../foundation/file-system.io.ts";
import type { FileLayer } from "./file-layer.ts";

/** Mail is for its recipients: nobody but the server's user reads the spool. */
export const SPOOL_FILE_MODE = 0o600;
export const SPOOL_DIRECTORY_MODE = 0o700;
const READ_PORTION_BYTES = 64 * 1024;

/** The machine's file system. */
export const fileLayer: FileLayer = {
  ...fileSystem,
  async create(path) {
    const handle = await open(path, "wx", SPOOL_FILE_MODE);
    let length = 0;
    return {
      async write(bytes) {
        // A write may take fewer bytes than given; the rest then shows the reason (ENOSPC) or goes through.
        for (let at = 0; at < bytes.length;) {
          const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, length);
          at += bytesWritten;
          length += bytesWritten;
        }
      },
      sync: () => handle.datasync(),
      close: () => handle.close(),
    };
  },
  async read(path) {
    const handle = await open(path, "r");
    return createReadStream("", { fd: handle, highWaterMark: READ_PORTION_BYTES });
  },
  async makeDirectory(path) {
    try {
      await mkdir(path, SPOOL_DIRECTORY_MODE);
      return true;
    } catch (thrown) {
      if (systemCodeOf(thrown) === "EEXIST") return false;
      throw thrown;
    }
  },
  async stat(path) {
    const found = await ifThere(stat(path));
    return found === undefined ? undefined : { sizeBytes: found.size, modifiedAt: found.mtimeMs };
  },
};
