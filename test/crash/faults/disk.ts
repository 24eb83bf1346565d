import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../../processes.ts";
import { findPeer } from "../../peers/peer.ts";
import { between, oneOf, signal, until, type Fault } from "./fault.ts";

/** A disk without room, and one that fails. Both are well again at the end. */
const DISK = "48m";

export const diskFull: Fault = {
  name: "disk-full",
  says: "the file system of queue and mailboxes is full to its last byte, for up to two seconds",
  layouts: ["single", "split"],
  mayRepeat: true,
  excludes: ["power-cut"],
  missing: () =>
    process.platform === "linux" && process.getuid?.() === 0 && findPeer("mount") !== undefined
      ? undefined
      : "a file system of a test's own needs root on Linux",
  prepare({ folder }) {
    const data = join(folder, "data");
    mkdirSync(data, { recursive: true, mode: 0o755 });
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK},mode=0755`, "none", data], {
      encoding: "utf8",
      timeout: 10_000,
    });
    if (mounted.status !== 0) throw new Error(`cannot mount a small file system: ${mounted.stderr}`);
  },
  async play({ folder, random }) {
    const ballast = join(folder, "data", "ballast");
    const forMs = between(random, 700, 2000);
    try {
      fill(ballast);
      // What others free meanwhile is taken, too.
      for (const untilAt = performance.now() + forMs; performance.now() < untilAt;) {
        await wait(100);
        fill(ballast);
      }
    } finally {
      rmSync(ballast, { force: true });
    }
    return `full for ${Math.round(forMs)} ms`;
  },
  tidy({ folder }) {
    spawnSync("umount", ["-l", join(folder, "data")], { stdio: "ignore", timeout: 10_000 });
  },
};

function fill(file: string): void {
  const descriptor = openSync(file, "a");
  try {
    for (let bytes = 1 << 20; bytes >= 1;) {
      try {
        writeSync(descriptor, Buffer.alloc(bytes));
      } catch {
        bytes >>= 2;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Calls that write or make durable, with how they fail, and which of them: all, some, one. */
const FAILURES = [
  "fsync:error=EIO",
  "fdatasync:error=EIO",
  "pwrite64:error=EIO",
  "pwrite64:error=ENOSPC",
  "ftruncate:error=EIO",
  "rename:error=EIO",
  "unlink:error=EIO",
  "link:error=ENOSPC",
  "mkdir:error=ENOSPC",
  // Sockets and pipes are written with the same call: connections break, too, and who cannot wake its own threads ends. The
  // first process of several is spared: libuv's handlers of signals lock by a byte in a pipe, and where that cannot be written back
  // whoever hears of an ended child waits for ever. No disk does that.
  "write:error=EIO",
  "write:error=ENOSPC",
] as const;

export const diskErrors: Fault = {
  name: "disk-errors",
  says: "calls that write, sync or rename fail with EIO or ENOSPC: one, some or all of them",
  layouts: ["single", "split"],
  mayRepeat: true,
  excludes: ["power-cut"],
  missing: () => (findPeer("strace") === undefined ? "strace is not installed" : undefined),
  async play(life) {
    const { random } = life;
    const failure = oneOf(random, FAILURES);
    const first = 1 + Math.floor(random.next() * 5);
    const rare = `:when=${first * 4}+${17 + Math.floor(random.next() * 40)}`;
    const when = failure.startsWith("write") ? rare : oneOf(random, ["", `:when=${first}`, `:when=${first}+3`, rare]);
    const fault = `${failure}${when}`;
    await until(() => life.server() !== undefined, 30_000);
    const root = life.root();
    if (root === undefined) return "found no server";
    const forMs = between(random, 500, 1500);
    const isSpared = (pid: number): boolean => failure.startsWith("write") && life.layout === "split" && pid === root;
    const attached = await whileFailing(root, isSpared, fault, () => wait(forMs));
    return `${fault} for ${Math.round(forMs)} ms${attached ? "" : " (not attached: a process went meanwhile)"}`;
  },
};

const LETS_GO_WITHIN_MS = 3000;

/** False when a process ended before the failures could begin. */
async function whileFailing(
  root: number,
  isSpared: (pid: number) => boolean,
  fault: string,
  work: () => Promise<unknown>,
): Promise<boolean> {
  const processes = treeOf(root).flatMap(({ pid }) => (isSpared(pid) ? [] : [String(pid)]));
  const tracer = spawn(
    findPeer("strace") ?? "strace",
    [
      ..."-f -o /dev/null -e".split(" "),
      `trace=${fault.split(":")[0]}`,
      "-e",
      `inject=${fault}`,
      ...processes.flatMap((pid) => ["-p", pid]),
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = once(tracer, "exit");
  try {
    let said = "";
    tracer.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()));
    const untilAt = performance.now() + 15_000;
    // A process may end meanwhile; that it was looked for is said, too.
    while (
      processes.some(
        (pid) => !new RegExp(`(?:Process ${pid} attached|\\b${pid}\\b.*(?:No such process|not permitted))`).test(said),
      )
    ) {
      if (tracer.exitCode !== null) return false;
      if (performance.now() > untilAt) return false;
      await wait(20);
    }
    await work();
    return true;
  } finally {
    if (tracer.exitCode === null && tracer.signalCode === null) tracer.kill("SIGTERM");
    // It lets go of each thread in turn, and waits for ever for one of a process that just died; its own end lets all go.
    await Promise.race([ended, wait(LETS_GO_WITHIN_MS, undefined, { ref: false })]);
    if (tracer.exitCode === null && tracer.signalCode === null) tracer.kill("SIGKILL");
    await ended;
    // Whom it stopped in order to let go may have been left so.
    for (const { pid } of treeOf(root)) signal(pid, "SIGCONT");
  }
}
