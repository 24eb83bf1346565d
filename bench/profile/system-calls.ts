/** What a call does with bytes, by the kernel's name for it. */
const CALLS: Readonly<Record<string, Moved["does"]>> = {
  read: "read",
  pread64: "read",
  readv: "read",
  preadv: "read",
  recvfrom: "read",
  recvmsg: "read",
  write: "write",
  pwrite64: "write",
  writev: "write",
  pwritev: "write",
  sendto: "write",
  sendmsg: "write",
  fsync: "sync",
  fdatasync: "sync",
  sync_file_range: "sync",
  // What these move they say nothing of by descriptor; they count as calls, so that a sum that misses them shows.
  sendfile64: "other",
  copy_file_range: "other",
  splice: "other",
};

/** The kernel's tracepoints, as `perf record -e` takes them. */
export const TRACEPOINTS = Object.keys(CALLS)
  .flatMap((name) => [`syscalls:sys_enter_${name}`, `syscalls:sys_exit_${name}`])
  .join(",");

/** A call that went well. */
export interface Moved {
  readonly does: "read" | "write" | "sync" | "other";
  readonly pid: number;
  readonly thread: number;
  readonly descriptor: number;
  readonly bytes: number;
}

/** The calls in what `perf script -F pid,tid,event,trace` prints: a line where a thread enters one, and one where it comes back. */
export function movedFrom(lines: Iterable<string>): readonly Moved[] {
  const entered = new Map<string, { name: string; descriptor: number }>();
  const moved: Moved[] = [];
  for (const line of lines) {
    const found = /^\s*(\d+)\/(\d+)\s+syscalls:sys_(enter|exit)_(\w+):\s+(.*)$/.exec(line);
    if (found === null) continue;
    const [, pid = "", thread = "", way, name = "", rest = ""] = found;
    if (way === "enter") {
      const descriptor = /^fd(?:_in)?: (0x[0-9a-f]+)/.exec(rest)?.[1];
      entered.set(thread, { name, descriptor: Number(descriptor ?? -1) });
      continue;
    }
    const call = entered.get(thread);
    entered.delete(thread);
    const does = CALLS[name];
    const result = BigInt.asIntN(64, BigInt(/^(0x[0-9a-f]+|-?\d+)/.exec(rest)?.[1] ?? -1));
    // One that was entered before anybody looked, or that failed: EAGAIN.
    if (call?.name !== name || does === undefined || result < 0n) continue;
    const bytes = does === "read" || does === "write" ? Number(result) : 0;
    moved.push({ does, pid: Number(pid), thread: Number(thread), descriptor: call.descriptor, bytes });
  }
  return moved;
}

/** Sums by kind. */
export interface KindSum {
  readonly read: number;
  readonly written: number;
  readonly writes: number;
  readonly syncs: number;
}

/** `kindOf` says in a few words what a descriptor is for. */
export function sumsByKind(moved: Iterable<Moved>, kindOf: (call: Moved) => string): ReadonlyMap<string, KindSum> {
  const sums = new Map<string, KindSum>();
  for (const call of moved) {
    const kind = kindOf(call);
    const { read, written, writes, syncs } = sums.get(kind) ?? { read: 0, written: 0, writes: 0, syncs: 0 };
    sums.set(kind, {
      read: read + (call.does === "read" ? call.bytes : 0),
      written: written + (call.does === "write" ? call.bytes : 0),
      writes: writes + (call.does === "write" ? 1 : 0),
      syncs: syncs + (call.does === "sync" ? 1 : 0),
    });
  }
  return sums;
}

const FILES: readonly (readonly [RegExp, string])[] = [
  [/\/queue\/queue\.db-wal$/, "file: queue, write-ahead log"],
  [/\/queue\/queue\.db$/, "file: queue, database"],
  [/\/journal\/journal\.db-wal$/, "file: journal, write-ahead log"],
  [/\/journal\/journal\.db$/, "file: journal, database"],
];

export interface Descriptors {
  /** What a process had open, before and behind all calls alike: a path, `socket:[17]`, `anon_inode:[eventfd]`. */
  readonly lasting: (pid: number, descriptor: number) => string | undefined;
  /** The inodes of the sockets within the machine; every other one is the network's. */
  readonly unixSockets: ReadonlySet<string>;
  /** Whether it is one of the threads that libuv keeps for calls of the file system. */
  readonly isFileThread: (thread: number) => boolean;
}

/**
 * What is open for one connection is a socket, and its process's main thread writes to it. What is open for one message is a file,
 * and a thread for files does: in these loads a mailbox's, for bodies of their size are rows of the queue's database.
 */
export function kindFinder({ lasting, unixSockets, isFileThread }: Descriptors): (call: Moved) => string {
  return ({ pid, thread, descriptor }) => {
    if (descriptor === 1 || descriptor === 2) return "text log (standard output)";
    const what = lasting(pid, descriptor);
    if (what === undefined) return isFileThread(thread) ? "file: mailbox" : "network";
    const socket = /^socket:\[(\d+)\]$/.exec(what)?.[1];
    if (socket !== undefined) return unixSockets.has(socket) ? "channels between processes" : "network";
    if (!what.startsWith("/")) return "wakes (eventfd, pipe)";
    return FILES.find(([path]) => path.test(what))?.[1] ?? "file: other";
  };
}
