/**
 * The fuzz command: looks for inputs that break what takes bytes from strangers, guided by the branches they run (see docs/decisions/0037).
 * What breaks is made short, told, and added to test/fuzz/corpus/NAME/findings.jsonl, as is what takes too long; inputs that together
 * run all branches that were reached go to paths.jsonl there. Both are run by the ordinary tests. Ends with 1 where something broke.
 */
import { randomInt } from "node:crypto";
import { Worker } from "node:worker_threads";
import { commandLine } from "../../tools/command-line.ts";
import { addFinding, TARGET_NAMES, writeCorpus } from "./corpus-files.ts";
import { SHARED_HEAD_BYTES, type FuzzOrder, type FuzzReport } from "./fuzz-report.ts";

const LONGEST_INPUT = 1 << 20;
/** An input that is not done by then never will be. */
const STUCK_MS = 60_000;
const MINUTE_MS = 60_000;
const LONGEST_KEPT_BYTES = 1024;
const MOST_KEPT = 120;

const values = commandLine("fuzz", "looks for inputs that break what takes bytes from strangers", {
  minutes: { value: "N", says: "how long in all", default: "10", number: { least: 0.1, whole: false } },
  target: { value: "NAME,...", says: "some of the targets", among: { names: TARGET_NAMES, many: true } },
  seed: {
    value: "N",
    says: "draws as the run did that said this seed; else others each time",
    number: { least: 0, whole: true },
  },
  round: {
    value: "SECONDS",
    says: "how long one target has before the next one's turn",
    default: "20",
    number: { least: 1, whole: false },
  },
});
const names = values.target?.split(",") ?? TARGET_NAMES;
let seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
process.stdout.write(`fuzz: seed ${seed}\n`);

const until = performance.now() + Number(values.minutes) * MINUTE_MS;
const broken = new Set<string>();
const sums = new Map<string, { runs: number; features: number; ms: number }>();
while (performance.now() < until && broken.size < names.length) {
  for (const name of names) {
    if (broken.has(name) || performance.now() >= until) continue;
    const ms = Math.min(Number(values.round) * 1000, until - performance.now());
    for (const report of await fuzz({ name, ms, seed: seed++ })) take(name, ms, report);
  }
}
for (const [name, { runs, features, ms }] of sums)
  process.stdout.write(`fuzz: ${name}: ${runs} inputs in ${(ms / 1000).toFixed(0)} s, ${features} features\n`);
const untried = names.filter((name) => !sums.has(name) && !broken.has(name));
if (untried.length > 0) process.stdout.write(`fuzz: there was no time for ${untried.join(", ")}\n`);
process.exitCode = broken.size === 0 ? 0 : 1;

function take(name: string, ms: number, report: FuzzReport): void {
  if (report.kind === "ended") {
    const before = sums.get(name) ?? { runs: 0, features: 0, ms: 0 };
    sums.set(name, { runs: before.runs + report.runs, features: report.features, ms: before.ms + ms });
    const paths = report.paths.filter((path) => path.length <= LONGEST_KEPT_BYTES).slice(0, MOST_KEPT);
    writeCorpus(
      name,
      "paths",
      paths.map((path) => Buffer.from(path)),
    );
    return;
  }
  broken.add(name);
  const bytes = Buffer.from(report.bytes);
  const shown = JSON.stringify(bytes.toString("latin1").slice(0, 2000));
  process.stdout.write(`fuzz: ${name}: ${report.kind}: ${report.what}\n  input: ${shown}\n`);
  process.stdout.write(`  kept in ${addFinding(name, bytes)}\n`);
}

/** A target's turn; what it found, or what it was at when it stopped moving. */
async function fuzz(about: Omit<FuzzOrder, "shared">): Promise<readonly FuzzReport[]> {
  const shared = new SharedArrayBuffer(SHARED_HEAD_BYTES + LONGEST_INPUT);
  const head = new Int32Array(shared, 0, 2);
  const worker = new Worker(new URL("fuzz-worker.ts", import.meta.url), {
    workerData: { ...about, shared } satisfies FuzzOrder,
    resourceLimits: { maxOldGenerationSizeMb: 1024 },
  });
  const reports: FuzzReport[] = [];
  let runsBefore = -1;
  const watch = setInterval(() => {
    const runs = Atomics.load(head, 0);
    // Before the first one the code is being loaded.
    if (runs > 0 && runs === runsBefore) {
      const bytes = new Uint8Array(shared).slice(SHARED_HEAD_BYTES, SHARED_HEAD_BYTES + (head[1] ?? 0));
      reports.push({ kind: "slow", bytes, what: `not done after ${STUCK_MS / 1000} s` });
      void worker.terminate();
    }
    runsBefore = runs;
  }, STUCK_MS);
  worker.on("message", (report: FuzzReport) => reports.push(report));
  await new Promise<void>((resolve) => {
    worker.on("error", (error: Error) => {
      const bytes = new Uint8Array(shared).slice(SHARED_HEAD_BYTES, SHARED_HEAD_BYTES + (head[1] ?? 0));
      reports.push({ kind: "broken", bytes, what: error.stack ?? error.message });
    });
    worker.on("exit", () => resolve());
  });
  clearInterval(watch);
  return reports;
}
