import { readdirSync, readFileSync } from "node:fs";

/** What the processes of one server have used so far, and use now. All figures over a whole tree of processes. */

const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** User and system seconds, those of children that have ended and been waited for included. */
  readonly cpuSeconds: number;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command's name is in parentheses and may hold spaces; what follows the last one is regular.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { pid, parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND };
  } catch {
    return undefined;
  }
}

/** The process and all its descendants that live now. */
export function treeOf(root: number): readonly Stat[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter((stat) => stat !== undefined);
  const members = new Set([root]);
  for (let before = 0; before !== members.size;) {
    before = members.size;
    for (const stat of all) if (members.has(stat.parent)) members.add(stat.pid);
  }
  return all.filter((stat) => members.has(stat.pid));
}

/** Of this process' children that have ended and been waited for. */
export function cpuSecondsOfEndedChildren(): number {
  const fields = readFileSync("/proc/self/stat", "latin1").replace(/^.*\)/s, "").trim().split(" ");
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

export function cpuSecondsOf(root: number): number {
  return treeOf(root).reduce((sum, stat) => sum + stat.cpuSeconds, 0);
}

/** Proportional set size: shared pages count in shares, so that the sum over processes is what they take together. */
export function pssKiBOf(root: number): number {
  return treeOf(root).reduce((sum, stat) => {
    try {
      const rollup = readFileSync(`/proc/${stat.pid}/smaps_rollup`, "latin1");
      return sum + Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      return sum;
    }
  }, 0);
}

/** A process and all its descendants in a line each: number, state, tracer, what the kernel does for it, command. */
export function pictureOf(root: number): string {
  return treeOf(root)
    .map(({ pid, cpuSeconds }) => {
      const status = textOf(`/proc/${pid}/status`);
      const of = (field: string): string => new RegExp(`^${field}:\\s+(.*)$`, "m").exec(status)?.[1] ?? "?";
      const threads = namesIn(`/proc/${pid}/task`).map((id) => {
        const state = /^State:\s+(\S)/m.exec(textOf(`/proc/${pid}/task/${id}/status`))?.[1] ?? "?";
        return `${state}:${textOf(`/proc/${pid}/task/${id}/wchan`)}`;
      });
      const command = textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 60);
      return `${pid} ${command} ${of("State")}, tracer ${of("TracerPid")}, ${cpuSeconds} s of CPU, threads ${threads.join(" ")}`;
    })
    .join("\n");
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
