/**
 * What each microsecond of a message goes to, in a server as it is installed:
 *
 *     npm run build && node bench/profile.ts [--layout single] [--load each] [--messages 8000] [--save]
 *
 * `--load each`: 50 sessions with one message each; `many`: 50 sessions with many; `relay`: 10 sessions, 10 KiB, to a sink; `local`: 10
 * sessions, 4 KiB, into a Maildir. All as in `bench/run.ts`, behind as many messages as make V8 compile what it will. First a load
 * where nobody looks on, which says what a message takes of the processors; then one under `perf` (Debian's linux-perf; needs root),
 * whose shares are put on that.
 * `--layout` and `--load` take several, with commas. `--save` writes bench/results/DATE-profile.md.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startCountingSink, type CountingSink } from "../test/peers/counting-sink.ts";
import { treeOf } from "../test/processes.ts";
import { LAYOUTS, ROOT, type Layout } from "../test/server.ts";
import type { Task } from "./comparison/contender.ts";
import { startPosthorn } from "./comparison/posthorn.ts";
import { sampleOf } from "./comparison/sampling.ts";
import { placeFinder, sourceFinder } from "./profile/places.ts";
import { samplesFrom } from "./profile/samples.ts";
import { profileTables } from "./profile/table.ts";

const KIB = 1024;
const LOADS = {
  each: { title: "50 sessions, one message of 1 KiB each", sessions: 50, bytes: KIB, keepsSession: false },
  many: { title: "50 sessions, many messages of 1 KiB each", sessions: 50, bytes: KIB, keepsSession: true },
  relay: { title: "relay to a sink, 10 sessions, 10 KiB", sessions: 10, bytes: 10 * KIB, keepsSession: true },
  local: { title: "delivery into one Maildir, 10 sessions, 4 KiB", sessions: 10, bytes: 4 * KIB, keepsSession: true },
} as const;
type Load = keyof typeof LOADS;
const WARM_UP_MESSAGES = 24_000;
/** Looks a second, at each thread that runs: not a divisor of the clocks that programs have. */
const HERTZ = 1999;

const { values } = parseArgs({
  options: {
    layout: { type: "string", default: "single,split" },
    load: { type: "string", default: "each,many,relay,local" },
    messages: { type: "string", default: "8000" },
    save: { type: "boolean", default: false },
  },
});
const messages = Number(values.messages);
if (!(messages >= 100)) throw new Error("--messages is a number from 100");
const layouts = chosen(values.layout, LAYOUTS, "layout");
const loads = chosen(values.load, Object.keys(LOADS) as Load[], "load");
if (spawnSync("perf", ["--version"]).status !== 0)
  throw new Error("there is no perf: install Debian's linux-perf, and be root");

const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).stdout.trim();
const parts = [];
for (const load of loads) for (const layout of layouts) parts.push(await profile(layout, load));
const text = [
  `# ${new Date().toISOString().slice(0, 10)}: what a message costs, and where\n`,
  `Posthorn (${commit}), built, as installed; Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}; load average at the end ${(loadavg()[0] ?? 0).toFixed(1)}, its own load included.`,
  `\`node bench/profile.ts\`: behind ${WARM_UP_MESSAGES} messages, ${messages} where nobody looks on, which say what a message takes of the processors, then ${messages} under \`perf\`, whose shares`,
  "are put on that. What is counted is where the processor was: in the kernel, by the system call; in V8's own work; else in the innermost module of ours, with what it calls of Node.\n",
  ...parts,
].join("\n");
process.stdout.write(text);
if (values.save)
  writeFileSync(join(ROOT, "bench", "results", `${new Date().toISOString().slice(0, 10)}-profile.md`), text);
process.exit(0);

async function profile(layout: Layout, load: Load): Promise<string> {
  const { title, ...cell } = LOADS[load];
  const folder = mkdtempSync(join(tmpdir(), "posthorn-profile-"));
  const recorded = join(folder, "perf.data");
  try {
    await using sink = load === "relay" ? await startCountingSink() : undefined;
    process.env["NODE_OPTIONS"] = "--perf-basic-prof";
    await using server = await startPosthorn(layout, { task: taskOf(load, sink) });
    delete process.env["NODE_OPTIONS"];
    const arrival = load === "relay" ? "sink" : load === "local" ? "mailbox" : undefined;
    const under = async (count: number) => await sampleOf(server, { ...cell, messages: count }, arrival, sink);
    for (let warm = 0; warm < WARM_UP_MESSAGES; warm += 4000) await under(4000);
    const { perSecond, cpuMsPerMessage } = await under(messages);
    const pids = treeOf(server.pid).map(({ pid }) => pid);
    const roles = new Map(pids.map((pid) => [pid, roleOf(pid, layout)]));
    const perf = spawn(
      "perf",
      ["record", "-F", String(HERTZ), "-e", "cpu-clock", "-g", "-o", recorded, "-p", pids.join(",")],
      { stdio: "ignore" },
    );
    const ended = new Promise<void>((resolve) => void perf.once("exit", () => resolve()));
    // It has opened its counters by then.
    await wait(1000);
    const watched = await under(messages);
    perf.kill("SIGINT");
    await ended;
    const script = spawnSync("perf", ["script", "-f", "-i", recorded, "-F", "comm,pid,tid,ip,sym,dso"], {
      encoding: "utf8",
      maxBuffer: 2 ** 31 - 1,
    });
    const tables = profileTables({
      samples: samplesFrom(script.stdout),
      placeOf: placeFinder(sourceFinder(ROOT)),
      roleOf: (pid) => roles.get(pid) ?? "another process",
      cpuUs: cpuMsPerMessage * 1000,
    });
    const said = `${perSecond.toFixed(0)} messages a second, ${(cpuMsPerMessage * 1000).toFixed(0)} µs of the processors each (${watched.perSecond.toFixed(0)} and ${(watched.cpuMsPerMessage * 1000).toFixed(0)} under the profiler).`;
    return `## ${title}, ${layout === "single" ? "one process" : "several processes"}\n\n${said}\n\n${tables}\n`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function taskOf(load: Load, sink: CountingSink | undefined): Task {
  if (sink !== undefined) return { kind: "relay", to: sink.port };
  return { kind: load === "local" ? "local" : "keep" };
}

function roleOf(pid: number, layout: Layout): string {
  if (layout === "single") return "server";
  const title = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  return /^posthorn: ([a-z]+)/.exec(title)?.[1] ?? "supervisor";
}

function chosen<Name extends string>(written: string, known: readonly Name[], what: string): readonly Name[] {
  return written.split(",").map((word) => {
    const found = known.find((one) => one === word);
    if (found === undefined) throw new Error(`no ${what} ${word}: ${known.join(", ")}`);
    return found;
  });
}
