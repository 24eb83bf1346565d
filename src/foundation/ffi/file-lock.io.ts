import { PosthornError } from "../error.ts";
import { requireFfi } from "./ffi.io.ts";

// fcntl(2) under Linux, 64 bits.
const F_SETLK = 6;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
/** struct flock: l_type and l_whence of two bytes, four of padding, l_start and l_len of eight, l_pid; 0 is "all". */
const FLOCK_BYTES = 32;

/**
 * Takes the record lock for writing on a whole open file, if nobody else has one, without waiting; it ends when the file
 * is closed. False when another holds it, be it by fcntl(2) or lockf(3), in another process or on another open file
 * of this one. The lock belongs to the open file, not to the process (F_OFD_SETLK), for a lock of the older
 * kind is lost as soon as anybody in the process closes any descriptor of that file.
 *
 * Throws `LIBRARY_UNAVAILABLE` where there are no such locks (not Linux, no C library, a file system without locks).
 */
export function tryLockFile(descriptor: number): boolean {
  const purpose = "locking a file against other programs (fcntl)";
  const ffi = requireFfi(purpose);
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `${purpose} is known for Linux on x64 and arm64 only`,
      advice: "use dot-locks or Maildirs on this system",
    });
  }
  const fcntl = ffi.declare("int fcntl(int fd, int command, ...)");
  const lock = new Uint8Array(FLOCK_BYTES);
  new DataView(lock.buffer).setInt16(0, F_WRLCK, true);
  for (const command of [F_OFD_SETLK, F_SETLK]) {
    if (fcntl(descriptor, command, "void *", lock) === 0) return true;
    const error = ffi.lastError();
    if (error === "EAGAIN" || error === "EACCES" || error === "EWOULDBLOCK") return false;
    // EINVAL: the file system does not know the newer kind.
    if (error !== "EINVAL" || command === F_SETLK) {
      throw new PosthornError("LIBRARY_UNAVAILABLE", {
        message: `${purpose} failed: ${error}`,
        advice: "see whether the file system of the mailbox has locks (on NFS: the lock service)",
      });
    }
  }
  return false;
}
