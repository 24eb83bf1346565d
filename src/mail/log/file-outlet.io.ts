import { constants } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import type { Clock } from "../../foundation/clock.ts";
import type { Outlet } from "./sink.ts";
import { wholeLines } from "./whole-lines.ts";

const BATCH_CHARACTERS = 256 * 1024;
/** How often a busy log looks whether its file was renamed or removed under it. */
const LOOK_MS = 1000;

/** Appends lines to a file. Rotation works by rename: on SIGHUP (`reopen`), or noticed by itself. */
export function fileOutlet(path: string, clock: Clock): Outlet {
  const whole = wholeLines();
  let file: FileHandle | undefined;
  let inode = 0;
  let lookedAtMs = 0;
  let isReopenWanted = false;

  const letGo = async (): Promise<void> => {
    const old = file;
    file = undefined;
    await old?.close();
  };
  const wasMoved = async (): Promise<boolean> => {
    const nowMs = clock.monotonicMs();
    if (nowMs - lookedAtMs < LOOK_MS) return false;
    lookedAtMs = nowMs;
    const there = await stat(path).catch(() => undefined);
    return there?.ino !== inode;
  };
  const opened = async (): Promise<FileHandle> => {
    if (file !== undefined && (isReopenWanted || (await wasMoved()))) await letGo();
    if (file !== undefined) return file;
    isReopenWanted = false;
    // Not for others to read: the log names senders and recipients. The directory's group decides who may.
    file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640);
    const before = inode;
    inode = (await file.stat()).ino;
    if (inode !== before) whole.startAnew();
    lookedAtMs = clock.monotonicMs();
    return file;
  };
  return {
    batchCharacters: BATCH_CHARACTERS,
    async send(lines) {
      const into = await opened();
      await whole.write(lines, async (bytes) => (await into.write(bytes)).bytesWritten);
    },
    reopen() {
      isReopenWanted = true;
    },
    close: letGo,
  };
}
