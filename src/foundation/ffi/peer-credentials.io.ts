import type { Socket } from "node:net";
import { PosthornError } from "../error.ts";
import { tryFfi } from "./ffi.io.ts";

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid, four bytes each. */
const UCRED_BYTES = 12;

/**
 * Who is at the other end of a connected unix socket, as the kernel saw it when it connected (unix(7), SO_PEERCRED).
 * Undefined when that cannot be known: no C library, not Linux, not a unix socket, already closed. A caller who needs
 * to know refuses then.
 */
export function peerCredentials(descriptor: number): PeerCredentials | undefined {
  const ffi = tryFfi();
  if (ffi instanceof PosthornError || process.platform !== "linux") return undefined;
  const getsockopt = ffi.declare("int getsockopt(int fd, int level, int name, void *value, void *length)");
  const value = new Uint32Array(UCRED_BYTES / 4);
  const length = Uint32Array.of(UCRED_BYTES);
  const answer = getsockopt(
    descriptor,
    SOL_SOCKET,
    SO_PEERCRED,
    new Uint8Array(value.buffer),
    new Uint8Array(length.buffer),
  );
  if (answer !== 0 || length[0] !== UCRED_BYTES) return undefined;
  const [pid, uid, gid] = value;
  // A socket that is not of the unix family answers with pid 0 and ids of -1.
  if (pid === undefined || uid === undefined || gid === undefined || pid === 0 || uid === 0xffff_ffff) return undefined;
  return { pid, uid, gid };
}

/** The descriptor under a connected socket; undefined when there is none (destroyed, or not yet connected). */
export function descriptorOf(socket: Socket): number | undefined {
  // Node shows it nowhere else; the handle of a pipe or TCP socket on Unix has had `fd` since its first versions.
  const handle = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle;
  return typeof handle?.fd === "number" && handle.fd >= 0 ? handle.fd : undefined;
}
