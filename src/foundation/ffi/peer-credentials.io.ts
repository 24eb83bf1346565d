import type { Server, Socket } from "node:net";
import { PosthornError } from "../error.ts";
import { tryFfi } from "./ffi.io.ts";

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Since Linux 4.13; the number is that of every architecture Node runs on. */
const SO_PEERGROUPS = 59;
/** NGROUPS_MAX. */
const MOST_GROUPS = 65_536;
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

/**
 * The supplementary groups of the process at the other end, as it had them when it connected (SO_PEERGROUPS): what file
 * modes would have been judged by. Empty where the system does not tell; a caller then knows the peer's first group only.
 */
export function peerGroups(descriptor: number): readonly number[] {
  const ffi = tryFfi();
  if (ffi instanceof PosthornError || process.platform !== "linux") return [];
  const getsockopt = ffi.declare("int getsockopt(int fd, int level, int name, void *value, void *length)");
  const value = new Uint32Array(MOST_GROUPS);
  const length = Uint32Array.of(value.byteLength);
  const answer = getsockopt(
    descriptor,
    SOL_SOCKET,
    SO_PEERGROUPS,
    new Uint8Array(value.buffer),
    new Uint8Array(length.buffer),
  );
  return answer === 0 ? [...value.subarray(0, (length[0] ?? 0) / 4)] : [];
}

/** Whether this process can be told who its peers are at all. */
export function canKnowPeers(): boolean {
  return process.platform === "linux" && !(tryFfi() instanceof PosthornError);
}

/** The descriptor under a connected socket, or a listening one; undefined when there is none (destroyed, or not yet open). */
export function descriptorOf(socket: Socket | Server): number | undefined {
  // Node shows it nowhere else; the handle of a pipe or TCP socket on Unix has had `fd` since its first versions.
  const handle = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle;
  return typeof handle?.fd === "number" && handle.fd >= 0 ? handle.fd : undefined;
}
