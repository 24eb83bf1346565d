import { constants, type BigIntStats } from "node:fs";
import { link, lstat, mkdir, open, rename, type FileHandle } from "node:fs/promises";
import { systemCodeOf } from "../../../foundation/error.ts";
import { fileSystem, ifThere } from "../../../foundation/file-system.io.ts";
import { tryLockFile } from "../../../foundation/ffi/file-lock.io.ts";
import type { FileStatus, MailFile, MailFs } from "./mail-fs.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

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
  async read(path, mostBytes) {
    const handle = await ifThere(open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    if (handle === undefined) return undefined;
    try {
      const status = statusOf(await handle.stat({ bigint: true }));
      // Reading from a pipe or a device could wait, or never end.
      const bytes = status.kind === "file" ? await readAt(handle, 0, mostBytes) : Buffer.alloc(0);
      return { status, bytes };
    } finally {
      await handle.close();
    }
  },
  async append(path, bytes) {
    const handle = await ifThere(open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK));
    if (handle === undefined) return false;
    try {
      await handle.write(bytes);
      return true;
    } finally {
      await handle.close();
    }
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
    readAt: (position, length) => readAt(handle, position, length),
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    status: async () => statusOf(await handle.stat({ bigint: true })),
    tryLock: () => tryLockFile(handle.fd),
    close: () => handle.close(),
  };
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

export function statusOf(stats: BigIntStats): FileStatus {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "symlink" : "other",
    identity: `${stats.dev}:${stats.ino}`,
    links: Number(stats.nlink),
    sizeBytes: Number(stats.size),
    modifiedAt: Number(stats.mtimeMs),
    isTrusted: stats.uid === 0n || stats.uid === BigInt(process.geteuid?.() ?? -1),
    isWritableByOthers: (stats.mode & 0o022n) !== 0n,
  };
}
