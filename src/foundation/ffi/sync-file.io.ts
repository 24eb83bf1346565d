import { fdatasyncSync, fsyncSync } from "node:fs";
import { PosthornError } from "../error.ts";
import { requireFfi, tryFfi } from "./ffi.io.ts";

/**
 * Waits, where it is called, until the disk has what an open file holds: `fdatasync` its content and length, `fsync` all of it,
 * or the names in a directory. Throws the system's error. Under Node's permission model Node's own synchronous calls are switched off,
 * whatever is granted; there it is the C library's, and `LIBRARY_UNAVAILABLE` where that cannot be reached.
 */
export function syncHere(call: "fdatasync" | "fsync", descriptor: number): void {
  if (process.permission === undefined) {
    (call === "fsync" ? fsyncSync : fdatasyncSync)(descriptor);
    return;
  }
  const ffi = requireFfi("waiting for a disk in a thread");
  if (ffi.declare(`int ${call}(int fd)`)(descriptor) === 0) return;
  const code = ffi.lastError();
  throw Object.assign(new Error(`${code}: ${call} failed`), { code });
}

/** Whether `syncHere` can be used in this process. */
export function canSyncHere(): boolean {
  return process.permission === undefined || !(tryFfi() instanceof PosthornError);
}
