/**
 * What the bytes of a message go to, in a server as it is installed: memory that V8 gives out, system calls, files.
 *
 *     npm run build && node bench/bytes.ts [--layout single] [--load each] [--messages 4000] [--warm-up 12000] [--save]
 *
 * The loads are those of `profile/loads.ts`, behind some that warm it. Each server gets two: one whose
 * system calls are counted, by the kernel for each thread (/proc/PID/io) and by `perf` one by one (Debian's linux-perf; needs root),
 * which tells files, sockets and syncs apart; and one where V8 takes a sample every 4 KiB that a thread allocates.
 * `--layout` and `--load` take several, with commas. `--save` writes bench/results/DATE-bytes.md.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, ROOT, type Layout } from "../test/server.ts";
import { allocationsOf, grownBytes, type ThreadHeap } from "./profile/allocations.ts";
import { allocationTables, ioTable, kindTable, type IoSpan, type ThreadAllocations } from "./profile/bytes-table.ts";
import { chosen, LOAD_NAMES, LOADS, startWarm, titleOf, type Load, type WarmServer } from "./profile/loads.ts";
import { ownFunctionFinder } from "./profile/own-functions.ts";
import { ioOf } from "./profile/process-io.ts";
import { kindFinder, movedFrom, sumsByKind, TRACEPOINTS, type KindSum } from "./profile/system-calls.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values } = scriptArguments({
  options: {
    layout: { type: "string", default: "single,split" },
    load: { type: "string", default: "each,many,relay,local" },
    messages: { type: "string", default: "4000" },
    "warm-up": { type: "string", default: "12000" },
    save: { type: "boolean", default: false },
  },
});
const messages = Number(values.messages);
const warmUp = Number(values["warm-up"]);
if (!(messages >= 100 && warmUp >= 100)) throw new Error("--messages and --warm-up are numbers from 100");
const layouts = chosen(values.layout, LAYOUTS, "layout");
const loads = chosen(values.load, LOAD_NAMES, "load");
if (spawnSync("perf", ["--version"]).status !== 0)
  throw new Error("there is no perf: install Debian's linux-perf, and be root");
const ownFunctionOf = ownFunctionFinder(ROOT);

const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).stdout.trim();
const day = new Date().toISOString().slice(0, 10);
let text = [
  `# ${day}: what the bytes of a message go to\n`,
  `Posthorn (${commit}), built, as installed; Node ${process.version}. \`node bench/bytes.ts\`: behind ${warmUp} messages, ${messages} whose system calls are counted, then ${messages} whose`,
  "allocations are. All figures are a message's.\n",
  "- Allocated: what V8's heaps gave out, by a sample every 4 KiB, for the innermost function of ours that was being called, with what it calls of Node; beside it what the same heaps grew by between their",
  "  collections. Memory outside of V8's heaps (what a socket reads into, SQLite's own) is in neither.",
  "- By thread: what the kernel counts (/proc/PID/io); what comes by `recvmsg` or goes by `sendmsg` is not in it. Pages dirtied: whole pages of files.",
  "- By kind: each call that reads, writes or syncs, by the kernel's tracepoints.\n",
].join("\n");
process.stdout.write(text);
for (const load of loads)
  for (const layout of layouts) {
    const part = await bytesOf(layout, load);
    process.stdout.write(`\n${part}`);
    text += `\n${part}`;
    // After each, so that a run that is ended leaves what it has.
    if (values.save) writeFileSync(join(ROOT, "bench", "results", `${day}-bytes.md`), text);
  }
process.exit(0);

async function bytesOf(layout: Layout, load: Load): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-bytes-"));
  // The workers of a split server are somebody else.
  chmodSync(folder, 0o777);
  process.env["POSTHORN_BENCH_HEAP"] = folder;
  if (layout === "split") process.env["POSTHORN_BENCH_CHILDREN"] = ` --allow-fs-write=${folder}/* --allow-inspector`;
  try {
    const hook = join(ROOT, "bench", "profile", "heap-hook.ts");
    await using server = await startWarm(layout, load, {
      nodeOptions: `--disable-warning=ExperimentalWarning --import=${hook}`,
      messages: warmUp,
    });
    const { spans, sums } = await countCalls(server, folder);
    const threads = await countAllocations(server, folder);
    return [
      `## ${titleOf(layout, load)}`,
      allocationTables(threads, messages),
      ioTable(spans, messages),
      `${kindTable(sums, spans, { messages, mailBytes: LOADS[load].bytes })}\n`,
    ].join("\n\n");
  } finally {
    delete process.env["POSTHORN_BENCH_HEAP"];
    delete process.env["POSTHORN_BENCH_CHILDREN"];
    rmSync(folder, { recursive: true, force: true });
  }
}

async function countAllocations(server: WarmServer, folder: string): Promise<readonly ThreadAllocations[]> {
  const ready = readdirSync(folder).flatMap((name) => {
    const [, file = "", pid = ""] = /^((\d+)-\d+)\.ready$/.exec(name) ?? [];
    const role = server.roles.get(Number(pid));
    return role === undefined ? [] : [{ file, pid: Number(pid), role }];
  });
  const toggle = async (answer: string): Promise<void> => {
    for (const pid of new Set(ready.map((thread) => thread.pid))) process.kill(pid, "SIGUSR2");
    const untilAt = performance.now() + 30_000;
    for (;;) {
      const silent = ready.filter(({ file }) => !existsSync(join(folder, file + answer)));
      if (silent.length === 0) return;
      if (performance.now() > untilAt)
        throw new Error(`threads that say nothing of their heap: ${silent.map(({ file }) => file).join(" ")}`);
      await wait(50);
    }
  };
  await toggle(".on");
  await server.under(messages);
  await toggle(".off");
  return ready.map(({ file, role }) => {
    // The hook wrote it.
    const heap = JSON.parse(readFileSync(join(folder, `${file}.json`), "utf8")) as ThreadHeap;
    return {
      role,
      thread: readFileSync(join(folder, `${file}.ready`), "utf8"),
      rows: allocationsOf(heap.profile, ownFunctionOf),
      grown: grownBytes(heap),
    };
  });
}

async function countCalls(
  server: WarmServer,
  folder: string,
): Promise<{ spans: readonly IoSpan[]; sums: ReadonlyMap<string, KindSum> }> {
  const recorded = join(folder, "calls.data");
  const pids = [...server.roles.keys()].join(",");
  const perf = spawn("perf", ["record", "-q", "-m", "2M", "-e", TRACEPOINTS, "-o", recorded, "-p", pids], {
    stdio: "ignore",
  });
  const ended = once(perf, "exit");
  // It has opened its counters by then.
  await wait(3000);
  const before = [...server.roles].map(([pid, role]) => ({ pid, role, io: ioOf(pid), open: descriptorsOf(pid) }));
  await server.under(messages);
  const spans = before.map(({ pid, role, io }) => ({ role, before: io, after: ioOf(pid) }));
  const lasting = new Map(before.map(({ pid, open }) => [pid, inBoth(open, descriptorsOf(pid))]));
  perf.kill("SIGINT");
  await ended;
  const threads = new Map(spans.flatMap(({ after }) => [...after.threads]));
  const kindOf = kindFinder({
    lasting: (pid, descriptor) => lasting.get(pid)?.get(descriptor),
    unixSockets: unixSockets(),
    isFileThread: (thread) => threads.get(thread)?.name === "libuv-worker",
  });
  const script = spawn("perf", ["script", "-f", "-i", recorded, "-F", "pid,tid,event,trace"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const lines = [];
  for await (const line of createInterface({ input: script.stdout })) lines.push(line);
  const isOne = server.roles.size === 1;
  const sums = sumsByKind(movedFrom(lines), (call) =>
    isOne ? kindOf(call) : `${server.roles.get(call.pid) ?? "another process"}: ${kindOf(call)}`,
  );
  return { spans, sums };
}

/** What each descriptor of a process is. */
function descriptorsOf(pid: number): ReadonlyMap<number, string> {
  return new Map(
    readdirSync(`/proc/${pid}/fd`).flatMap((name): [number, string][] => {
      try {
        return [[Number(name), readlinkSync(`/proc/${pid}/fd/${name}`)]];
      } catch {
        // Closed meanwhile.
        return [];
      }
    }),
  );
}

function inBoth(before: ReadonlyMap<number, string>, after: ReadonlyMap<number, string>): ReadonlyMap<number, string> {
  return new Map([...before].filter(([descriptor, what]) => after.get(descriptor) === what));
}

/** The inodes of all sockets within the machine. */
function unixSockets(): ReadonlySet<string> {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n").slice(1);
  return new Set(lines.flatMap((line) => line.trim().split(/\s+/)[6] ?? []));
}
