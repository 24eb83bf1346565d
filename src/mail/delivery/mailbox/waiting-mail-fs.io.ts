import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { systemCodeOf } from "../../../foundation/error.ts";
import { syncHere } from "../../../foundation/ffi/sync-file.io.ts";
import { tryLockFile } from "../../../foundation/ffi/file-lock.io.ts";
import { mailFs, statusOf } from "./mail-fs.io.ts";
import type { MailFile, MailFs } from "./mail-fs.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * The machine's file system as `mailFs` is, for a thread that has nothing else to do meanwhile: each call returns when it is
 * done. Never for a thread that serves others, and only where `canSyncHere()`.
 */
export const waitingMailFs: MailFs = {
  ...mailFs,
  async create(path, mode) {
    return fileOf(openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  },
  async open(path) {
    // O_NONBLOCK: opening a pipe that somebody put in the mailbox's place must not wait for its other end.
    const fd = ifThere(() => openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
    return fd === undefined ? undefined : fileOf(fd);
  },
  async read(path, mostBytes) {
    return withOpen(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, (fd) => {
      const status = statusOf(fstatSync(fd, { bigint: true }));
      // Reading from a pipe or a device could wait, or never end.
      return { status, bytes: status.kind === "file" ? readAt(fd, 0, mostBytes) : Buffer.alloc(0) };
    });
  },
  async append(path, bytes) {
    return withOpen(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK, (fd) => writeSync(fd, bytes) >= 0) ?? false;
  },
  async makeDirectory(path, mode) {
    try {
      mkdirSync(path, mode);
      return true;
    } catch (thrown) {
      if (systemCodeOf(thrown) === "EEXIST") return false;
      throw thrown;
    }
  },
  async syncDirectory(path) {
    const fd = openSync(path, "r");
    try {
      syncHere("fsync", fd);
    } finally {
      closeSync(fd);
    }
  },
  rename: async (from, to) => renameSync(from, to),
  link: async (from, to) => linkSync(from, to),
  unlink: async (path) =>
    ifThere(() => {
      unlinkSync(path);
      return true;
    }) ?? false,
  list: async (path) => ifThere(() => readdirSync(path)) ?? [],
  async status(path) {
    const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? undefined : statusOf(found);
  },
};

function fileOf(fd: number): MailFile {
  return {
    async writeAt(position, bytes) {
      // A write may take fewer bytes than given; the rest then shows the reason (ENOSPC) or goes through.
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
    },
    readAt: async (position, length) => readAt(fd, position, length),
    truncate: async (length) => ftruncateSync(fd, length),
    sync: async () => syncHere("fdatasync", fd),
    status: async () => statusOf(fstatSync(fd, { bigint: true })),
    tryLock: () => tryLockFile(fd),
    close: async () => closeSync(fd),
  };
}

function withOpen<Value>(path: string, flags: number, work: (fd: number) => Value): Value | undefined {
  const fd = ifThere(() => openSync(path, flags));
  if (fd === undefined) return undefined;
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const bytes = readSync(fd, buffer, filled, length - filled, position + filled);
    if (bytes === 0) break;
    filled += bytes;
  }
  return buffer.subarray(0, filled);
}

/** Undefined when the file or directory is not there. */
function ifThere<Value>(ask: () => Value): Value | undefined {
  try {
    return ask();
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
