/**
 * What each microsecond of a message goes to, in a server as it is installed:
 *
 *     npm run build && node bench/profile.ts [--layout single] [--load each] [--messages 8000] [--save]
 *
 * The loads are those of `profile/loads.ts`, behind as many messages as make V8 compile what it will. First a load
 * where nobody looks on, which says what a message takes of the processors; then one under `perf` (Debian's linux-perf; needs root),
 * whose shares are put on that.
 * `--layout` and `--load` take several, with commas. `--save` writes bench/results/DATE-profile.md.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, ROOT, type Layout } from "../test/server.ts";
import { chosen, LOAD_NAMES, startWarm, titleOf, type Load } from "./profile/loads.ts";
import { placeFinder, sourceFinder } from "./profile/places.ts";
import { samplesFrom } from "./profile/samples.ts";
import { profileTables } from "./profile/table.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

/** So many make V8 compile what it will. */
const WARM_UP_MESSAGES = 24_000;
/** Looks a second, at each thread that runs: not a divisor of the clocks that programs have. */
const HERTZ = 1999;

const { values } = scriptArguments({
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
const loads = chosen(values.load, LOAD_NAMES, "load");
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
  const folder = mkdtempSync(join(tmpdir(), "posthorn-profile-"));
  const recorded = join(folder, "perf.data");
  try {
    await using server = await startWarm(layout, load, {
      nodeOptions: "--perf-basic-prof",
      messages: WARM_UP_MESSAGES,
    });
    const { perSecond, cpuMsPerMessage } = await server.under(messages);
    const pids = [...server.roles.keys()].join(",");
    const perf = spawn("perf", ["record", "-F", String(HERTZ), "-e", "cpu-clock", "-g", "-o", recorded, "-p", pids], {
      stdio: "ignore",
    });
    const ended = new Promise<void>((resolve) => void perf.once("exit", () => resolve()));
    // It has opened its counters by then.
    await wait(1000);
    const watched = await server.under(messages);
    perf.kill("SIGINT");
    await ended;
    const script = spawnSync("perf", ["script", "-f", "-i", recorded, "-F", "comm,pid,tid,ip,sym,dso"], {
      encoding: "utf8",
      maxBuffer: 2 ** 31 - 1,
    });
    const tables = profileTables({
      samples: samplesFrom(script.stdout),
      placeOf: placeFinder(sourceFinder(ROOT)),
      roleOf: (pid) => server.roles.get(pid) ?? "another process",
      cpuUs: cpuMsPerMessage * 1000,
    });
    const said = `${perSecond.toFixed(0)} messages a second, ${(cpuMsPerMessage * 1000).toFixed(0)} µs of the processors each (${watched.perSecond.toFixed(0)} and ${(watched.cpuMsPerMessage * 1000).toFixed(0)} under the profiler).`;
    return `## ${titleOf(layout, load)}\n\n${said}\n\n${tables}\n`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
