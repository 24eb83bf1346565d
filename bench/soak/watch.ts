import { readdirSync, readFileSync, statSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { cpuSecondsOf, treeOf } from "../../test/processes.ts";
import type { TestServer } from "../../test/server.ts";

/** One look at the server's processes from outside. */
export interface Sample {
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly spoolBytes: number;
  readonly processes: readonly ProcessSample[];
}

export interface ProcessSample {
  readonly name: string;
  readonly pid: number;
  readonly pssKiB: number;
  /** Of that, what backs no file: its heap, stacks and buffers. Code and libraries are shared with whatever else runs them, and weigh more when that has gone. */
  readonly ownKiB: number;
  readonly descriptors: number;
}

/** What a thread of a process says of itself when it has just collected its garbage. */
export interface Probe {
  readonly atMs: number;
  readonly pid: number;
  /** 0 is the main thread. */
  readonly thread: number;
  /** What lives in the thread's heap, and what it holds outside of it. */
  readonly liveBytes: number;
  /** What V8 holds of the machine's memory for its heap. */
  readonly pageBytes: number;
  /** Sockets, pipes, timers and so on, by kind. */
  readonly handles: Readonly<Record<string, number>>;
}

/**
 * Goes into each process of the server ahead of its own code. A heap that has not been collected says little: each thread tells
 * its own after two collections when the process gets SIGUSR2. As text in the variable, for the processes may read no file of ours.
 */
const PROBE = `
import v8 from "node:v8"; import vm from "node:vm"; import { writeSync } from "node:fs";
import { BroadcastChannel, isMainThread, threadId } from "node:worker_threads";
let gc;
const tell = () => {
  if (gc === undefined) { v8.setFlagsFromString("--expose-gc"); gc = vm.runInNewContext("gc"); }
  // As when memory runs short: an ordinary collection keeps the pages that it empties, for the next garbage.
  for (let turn = 0; turn < 2; turn++) gc({ type: "major", flavor: "last-resort" });
  const { heapUsed, external } = process.memoryUsage();
  const pageBytes = v8.getHeapStatistics().total_physical_size;
  const handles = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  writeSync(2, "\\nsoak-probe " + JSON.stringify({ pid: process.pid, thread: threadId, liveBytes: heapUsed + external, pageBytes, handles }) + "\\n");
};
const threads = new BroadcastChannel("soak-probe");
threads.unref();
if (isMainThread) process.on("SIGUSR2", () => { threads.postMessage("tell"); tell(); });
else threads.onmessage = tell;
`;

export const PROBE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(PROBE.trim())}`;

const PROBE_WITHIN_MS = 60_000;

export class Watch {
  readonly samples: Sample[] = [];
  readonly probes: Probe[] = [];
  readonly #server: TestServer;
  readonly #startedMs = performance.now();

  constructor(server: TestServer) {
    this.#server = server;
    let held = "";
    server.process.stderr?.on("data", (bytes: Buffer) => {
      held = (held + bytes.toString("latin1")).slice(-100_000);
      for (let end = held.indexOf("\n"); end >= 0; end = held.indexOf("\n")) {
        const line = held.slice(0, end);
        held = held.slice(end + 1);
        const said = /^soak-probe (\{.*\})$/.exec(line)?.[1];
        // Our own writing.
        if (said !== undefined) this.probes.push({ atMs: this.now(), ...(JSON.parse(said) as Omit<Probe, "atMs">) });
      }
    });
  }

  now(): number {
    return performance.now() - this.#startedMs;
  }

  /** Every process by its name; a single server is one. */
  names(): ReadonlyMap<string, number> {
    const root = this.#server.process.pid ?? 0;
    const workers = this.#server.workers();
    return workers.size === 0 ? new Map([["server", root]]) : new Map([["supervisor", root], ...workers]);
  }

  sample(spool: string): Sample {
    const sample = {
      atMs: this.now(),
      cpuSeconds: cpuSecondsOf(this.#server.process.pid ?? 0),
      spoolBytes: bytesIn(spool),
      processes: [...this.names()].flatMap(([name, pid]) => sampleOf(name, pid)),
    };
    this.samples.push(sample);
    return sample;
  }

  /** Asks all processes, and waits until each has answered, or a minute; its other threads a moment later. */
  async probe(): Promise<void> {
    const fromAt = this.now();
    const waiting = new Set(this.names().values());
    for (const pid of waiting)
      try {
        process.kill(pid, "SIGUSR2");
      } catch {
        // It has just ended.
        waiting.delete(pid);
      }
    while (waiting.size > 0 && this.now() < fromAt + PROBE_WITHIN_MS) {
      await wait(100);
      for (const { atMs, pid, thread } of this.probes) if (atMs >= fromAt && thread === 0) waiting.delete(pid);
    }
  }

  get isRunning(): boolean {
    return treeOf(this.#server.process.pid ?? 0).length > 0;
  }
}

function sampleOf(name: string, pid: number): readonly ProcessSample[] {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    const field = (which: string): number => Number(new RegExp(`^${which}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
    const descriptors = readdirSync(`/proc/${pid}/fd`).length;
    return [
      {
        name,
        pid,
        pssKiB: field("Pss"),
        ownKiB: field("Pss_Anon") + field("Pss_Shmem"),
        descriptors,
      },
    ];
  } catch {
    return [];
  }
}

function bytesIn(folder: string): number {
  let bytes = 0;
  try {
    for (const line of readdirSync(folder, { withFileTypes: true, recursive: true }))
      if (line.isFile()) bytes += sizeOf(`${line.parentPath}/${line.name}`);
  } catch {
    // A folder of body files has just gone.
  }
  return bytes;
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
