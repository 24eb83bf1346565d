import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { findPeer } from "../../peers/peer.ts";
import { between, signal, someProcess, until, type Fault, type Life } from "./fault.ts";

/** A stop takes up to 25 s, and longer on a slow machine. */
const ENDS_WITHIN_MS = 90_000;
/** What a process may have runs out: descriptors, memory. */
const missing = (): string | undefined => (findPeer("prlimit") === undefined ? "prlimit is not installed" : undefined);

export const fewDescriptors: Fault = {
  name: "few-descriptors",
  says: "a running process gets no more descriptors, for up to two seconds",
  layouts: ["single", "split"],
  // Who cannot open the queue's files anew is a disk that fails.
  mayRepeat: true,
  missing,
  async play(life) {
    const victim = await someProcess(life);
    if (victim === undefined) return "found nobody";
    const spare = Math.floor(life.random.next() * 4);
    const most = descriptorsOf(victim.pid) + spare;
    const forMs = between(life.random, 500, 2000);
    limit(victim.pid, `--nofile=${most}:`);
    try {
      await wait(forMs);
    } finally {
      limit(victim.pid, `--nofile=${hardLimitOf(victim.pid, "Max open files") ?? "1024"}:`);
    }
    return `${victim.name} had ${most} descriptors for ${Math.round(forMs)} ms`;
  },
};

export const fewDescriptorsAtStart: Fault = {
  name: "few-descriptors-at-start",
  says: "the server starts with hardly enough descriptors, or not enough; then it is started with more",
  layouts: ["single", "split"],
  mayRepeat: true,
  excludes: ["power-cut"],
  missing,
  prepare(life) {
    life.starting.wrapper = limited(life);
  },
  async play(life) {
    const wrapper = life.starting.wrapper;
    await wait(between(life.random, 1500, 2500));
    life.starting.wrapper = [];
    const root = life.root();
    if (root !== undefined) {
      signal(root, "SIGTERM");
      await until(() => life.root() !== root, ENDS_WITHIN_MS);
    }
    return `started with ${wrapper.slice(1).join(" ")}`;
  },
};

function limited(life: Life): readonly string[] {
  const most = Math.floor(between(life.random, 30, 70));
  return [findPeer("prlimit") ?? "prlimit", `--nofile=${most}:${most}`];
}

export const outOfMemory: Fault = {
  name: "out-of-memory",
  says: "a running process gets no more memory; it ends, or goes on when there is more",
  layouts: ["single", "split"],
  mayRepeat: true,
  missing,
  async play(life) {
    const victim = await someProcess(life);
    if (victim === undefined) return "found nobody";
    const spare = Math.floor(life.random.next() * 4_000_000);
    limit(victim.pid, `--as=${addressSpaceOf(victim.pid) + spare}:`);
    const untilAt = performance.now() + 3000;
    let isThere = true;
    while (isThere && performance.now() < untilAt) {
      await wait(50);
      isThere = isAlive(victim.pid);
    }
    if (isThere) limit(victim.pid, "--as=unlimited:");
    return `${victim.name} ${isThere ? "had no more memory for 3 s" : "ended for want of memory"}`;
  },
};

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function limit(pid: number, what: string): void {
  // A process that has gone needs no limit.
  spawnSync(findPeer("prlimit") ?? "prlimit", ["--pid", String(pid), what], { stdio: "ignore", timeout: 10_000 });
}

function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 64;
  }
}

function addressSpaceOf(pid: number): number {
  try {
    return Number(/^VmSize:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function hardLimitOf(pid: number, name: string): string | undefined {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, "latin1");
    return new RegExp(`^${name}\\s+\\S+\\s+(\\S+)`, "m").exec(limits)?.[1];
  } catch {
    return undefined;
  }
}
