import { constants, type BigIntStats } from "node:fs";
import { link, lstat, mkdir, open, rename, type FileHandle } from "node:fs/promises";
import { systemCodeOf } from "../../../foundation/error.ts";
import { fileSystem, ifThere } from "../../../foundation/file-system.io.ts";
import { tryLockFile } from "../../../foundation/ffi/file-lock.io.ts";
import type { FileStatus, MailFile, MailFs } from "./mail-fs.ts";

const { O_CREAT, O_EXCL, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;

/** The machine's file system. */
export const mailFs: MailFs = {
  ...fileSystem,
  async create(path, mode) {
    return fileOf(await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  },
  async open(path) {
    // O_NONBLOCK: opening a pipe that somebody put in the mailbox's place must not wait for its other end.
    const handle = await ifThere(open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
    return handle === undefined ? undefined : fileOf(handle);
  },
  async makeDirectory(path, mode) {
    try {
      await mkdir(path, mode);
      return true;
    } catch (thrown) {
      if (systemCodeOf(thrown) === "EEXIST") return false;
      throw thrown;
    }
  },
  rename,
  link,
  processId: process.pid,
  isProcessAlive(processId) {
    try {
      process.kill(processId, 0);
      return true;
    } catch (thrown) {
      // EPERM: it lives, and belongs to somebody else.
      return systemCodeOf(thrown) !== "ESRCH";
    }
  },
  async status(path) {
    const found = await ifThere(lstat(path, { bigint: true }));
    return found === undefined ? undefined : statusOf(found);
  },
};

function fileOf(handle: FileHandle): MailFile {
  return {
    async writeAt(position, bytes) {
      // A write may take fewer bytes than given; the rest then shows the reason (ENOSPC) or goes through.
      for (let at = 0; at < bytes.length;)
        at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
    },
    async readAt(position, length) {
      const buffer = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    status: async () => statusOf(await handle.stat({ bigint: true })),
    tryLock: () => tryLockFile(handle.fd),
    close: () => handle.close(),
  };
}

function statusOf(stats: BigIntStats): FileStatus {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "symlink" : "other",
    identity: `${stats.dev}:${stats.ino}`,
    links: Number(stats.nlink),
    sizeBytes: Number(stats.size),
    modifiedAt: Number(stats.mtimeMs),
    isTrusted: stats.uid === 0n || stats.uid === BigInt(process.geteuid?.() ?? -1),
  };
}
