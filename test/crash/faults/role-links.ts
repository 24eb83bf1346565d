import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { PosthornError } from "../../../src/foundation/error.ts";
import { tryFfi } from "../../../src/foundation/ffi/ffi.io.ts";
import { between, signal, someProcess, type Fault, type Life } from "./fault.ts";

/** Roles that do not hear of each other: one that does not move for a while, and connections between two that end. */
export const stopProcess: Fault = {
  name: "stop-process",
  says: "a process is stopped (SIGSTOP) for up to three seconds, then goes on",
  layouts: ["single", "split"],
  mayRepeat: false,
  async play(life) {
    const victim = await someProcess(life);
    if (victim === undefined) return "found nobody to stop";
    const forMs = between(life.random, 300, 3000);
    signal(victim.pid, "SIGSTOP");
    try {
      await wait(forMs);
    } finally {
      signal(victim.pid, "SIGCONT");
    }
    return `stopped ${victim.name} for ${Math.round(forMs)} ms`;
  },
};

export const cutRoles: Fault = {
  name: "cut-roles",
  says: "connections between the server's processes are shut down, three times",
  layouts: ["split"],
  // An outcome that is on its way to the queue when its way ends is not known there.
  mayRepeat: true,
  missing: () => (cutter() === undefined ? "the system's own calls cannot be reached (koffi)" : undefined),
  async play(life) {
    const cut: string[] = [];
    for (let left = 3; left > 0; left--) {
      const victim = await someProcess(life, ({ pid }) => linksOf(pid, life).length > 0);
      const links = victim === undefined ? [] : linksOf(victim.pid, life);
      const isOne = life.random.next() < 0.5;
      const chosen = isOne ? links.slice(Math.floor(life.random.next() * links.length)).slice(0, 1) : links;
      if (victim !== undefined) {
        for (const descriptor of chosen) cutter()?.(victim.pid, descriptor);
        cut.push(`${chosen.length} of ${victim.name}`);
      }
      await wait(between(life.random, 50, 600));
    }
    return `cut ${cut.join(", ")}`;
  },
};

/** The descriptors of a process that are accepted connections at one of the server's own sockets. */
function linksOf(pid: number, life: Life): readonly number[] {
  const sockets = new Set<string>();
  for (const line of readFileSync("/proc/net/unix", "latin1").split("\n")) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, , , flags, , , inode = "", path = ""] = line.split(/\s+/);
    const isListening = flags === "00010000";
    if (!isListening && path.startsWith(life.folder) && path.endsWith(".sock")) sockets.add(`socket:[${inode}]`);
  }
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((descriptor) => sockets.has(targetOf(`/proc/${pid}/fd/${descriptor}`)))
      .map(Number);
  } catch {
    return [];
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

/** The same numbers on all machines that these calls are younger than. */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;
const SHUT_RDWR = 2;

type Cut = (pid: number, descriptor: number) => void;
let made: { readonly cut: Cut | undefined } | undefined;

/** Shuts a connection of another process down: pidfd_open, pidfd_getfd, shutdown. */
function cutter(): Cut | undefined {
  made ??= { cut: makeCutter() };
  return made.cut;
}

function makeCutter(): Cut | undefined {
  const library = tryFfi();
  if (library instanceof PosthornError) return undefined;
  const call = library.declare("long syscall(long number, int a, int b, int c)");
  const shutdown = library.declare("int shutdown(int socket, int how)");
  const close = library.declare("int close(int descriptor)");
  return (pid, descriptor) => {
    const pidfd = Number(call(PIDFD_OPEN, pid, 0, 0));
    if (pidfd < 0) return;
    const copy = Number(call(PIDFD_GETFD, pidfd, descriptor, 0));
    if (copy >= 0) {
      shutdown(copy, SHUT_RDWR);
      close(copy);
    }
    close(pidfd);
  };
}
