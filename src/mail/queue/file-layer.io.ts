import { createReadStream } from "node:fs";
import { mkdir, open, readdir, stat, unlink } from "node:fs/promises";
import { systemCodeOf } from "../../foundation/error.ts";
import type { FileLayer } from "./file-layer.ts";

/** Mail is for its recipients: nobody but the server's user reads the spool. */
export const SPOOL_FILE_MODE = 0o600;
export const SPOOL_DIRECTORY_MODE = 0o700;
const READ_PORTION_BYTES = 64 * 1024;

/** The machine's file system. */
export const fileLayer: FileLayer = {
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
  async syncDirectory(path) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
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
  async unlink(path) {
    try {
      await unlink(path);
      return true;
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return false;
      throw thrown;
    }
  },
  async list(path) {
    try {
      return await readdir(path);
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return [];
      throw thrown;
    }
  },
  async stat(path) {
    try {
      const found = await stat(path);
      return { sizeBytes: found.size, modifiedAt: found.mtimeMs };
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return undefined;
      throw thrown;
    }
  },
};
