/**
 * Posthorn and Debian's postfix side by side: `npm run bench -- [--rounds 3] [--only accept,relay,memory] [--save]`.
 *
 * One machine, one load generator (Debian's smtp-source), the same sync before the 250. In each round the servers take
 * turns at each cell, after a warm-up that does not count, so that what else the machine does falls on all of them; the
 * table has the medians over the rounds. Each round begins with empty queues. CPU is user + system of all processes of a
 * server. `--save` writes bench/results/DATE.md. `--quick` is a tenth of the messages, for trying the bench itself.
 *
 * ext4 passes over recently deleted inodes for some minutes when files are made, which makes servers with one file a message look
 * up to three times worse. So nothing is deleted before the end; wait six minutes before the next run.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../test/server.ts";
import { contenderNames, postfixVersion, startContender, type Contender, type ContenderName } from "./contenders.ts";
import { startCountingSink } from "../test/peers/counting-sink.ts";
import { median, memoryOf, sampleOf, type Load, type MemoryUse, type Sample } from "./measure.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: "accept,relay,memory" },
    save: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const ROUNDS = Number(options.rounds);
const PARTS = options.only.split(",");
const SESSIONS_IN_MEMORY = 1000;
const share = options.quick ? 0.1 : 1;
const KIB = 1024;
/**
 * What each server takes before it is measured, however short the samples are: until about here V8 compiles what it
 * finds to be used, which is not the price of a message in a server that runs for weeks.
 */
const WARM_UP_MESSAGES = 4000;

const acceptCells: readonly Load[] = [
  { sessions: 10, messages: 3000 * share, bytes: KIB, keepsSession: false },
  { sessions: 50, messages: 3000 * share, bytes: KIB, keepsSession: false },
  { sessions: 10, messages: 4000 * share, bytes: KIB, keepsSession: true },
  { sessions: 50, messages: 4000 * share, bytes: KIB, keepsSession: true },
];
const relayCells: readonly Load[] = [{ sessions: 10, messages: 3000 * share, bytes: 10 * KIB, keepsSession: true }];

type Samples = Map<Load, Map<ContenderName, Sample[]>>;

// Everything that is made below lies here, until the end.
const scratch = mkdtempSync(join(tmpdir(), "posthorn-bench-"));
// The servers are other users.
chmodSync(scratch, 0o755);
process.env["TMPDIR"] = scratch;
process.env["POSTHORN_KEEP"] = "1";

// Servers are processes of their own, and outlive us unless they are stopped.
const open = new Set<AsyncDisposable>();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    void Promise.allSettled([...open].map((one) => one[Symbol.asyncDispose]())).then(() => process.exit(1));
  });

try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const lines = [await headline()];
  if (PARTS.includes("accept")) {
    const samples = await inRounds(acceptCells, contenderNames, false);
    lines.push(tableOf("Accept, 1 KiB: queued and known to the scheduler, not delivered", samples, contenderNames));
  }
  if (PARTS.includes("relay")) {
    const names = contenderNames.filter((name) => name !== "Postfix, held");
    const samples = await inRounds(relayCells, names, true);
    lines.push(tableOf("Relay, 10 KiB: from the client to a sink, end to end", samples, names));
  }
  if (PARTS.includes("memory")) lines.push(await memoryTable());
  const text = `${lines.join("\n\n")}\n`;
  process.stdout.write(`\n${text}`);
  if (!options.save) return;
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${new Date().toISOString().slice(0, 10)}.md`), text);
}

async function inRounds(cells: readonly Load[], names: readonly ContenderName[], isRelay: boolean): Promise<Samples> {
  const samples: Samples = new Map(cells.map((cell) => [cell, new Map(names.map((name) => [name, []]))]));
  for (let round = 1; round <= ROUNDS; round++) {
    await using stack = new AsyncDisposableStack();
    open.add(stack);
    stack.defer(() => void open.delete(stack));
    const sink = isRelay ? stack.use(await startCountingSink()) : undefined;
    const contenders: Contender[] = [];
    for (const name of names)
      contenders.push(
        stack.use(await startContender(name, sink === undefined ? { kind: "keep" } : { kind: "relay", to: sink.port })),
      );
    for (const contender of contenders)
      for (const cell of cells)
        await sampleOf(contender, { ...cell, messages: Math.round(WARM_UP_MESSAGES / cells.length) }, sink);
    for (const cell of cells)
      for (const contender of contenders) {
        const sample = await sampleOf(contender, cell, sink);
        samples.get(cell)?.get(contender.name)?.push(sample);
        const { perSecond, cpuMsPerMessage } = sample;
        progress(
          `${round} ${nameOf(cell)} ${contender.name}: ${perSecond.toFixed(0)}/s ${cpuMsPerMessage.toFixed(3)} ms`,
        );
      }
  }
  return samples;
}

async function memoryTable(): Promise<string> {
  const rows: string[] = [];
  for (const name of contenderNames) {
    if (name === "Postfix, held") continue;
    const uses: MemoryUse[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await using contender = await startContender(name, { kind: "keep" });
      uses.push(await memoryOf(contender, SESSIONS_IN_MEMORY));
      progress(`memory ${name}: ${uses.at(-1)?.idleMB.toFixed(1)} MB, ${uses.at(-1)?.perSessionKB.toFixed(1)} KB`);
    }
    const idle = median(uses.map((use) => use.idleMB)).toFixed(0);
    const each = median(uses.map((use) => use.perSessionKB)).toFixed(1);
    rows.push(`| ${name} | ${idle} | ${each} |`);
  }
  return [
    `### Memory: PSS of all processes; ${SESSIONS_IN_MEMORY} open plaintext sessions after EHLO`,
    "",
    "| | idle, MB | KB for each session |",
    "|---|---|---|",
    ...rows,
  ].join("\n");
}

function tableOf(title: string, samples: Samples, names: readonly ContenderName[]): string {
  const rows: string[] = [];
  for (const [what, valueOf, digits] of [
    ["msg/s", (sample: Sample) => sample.perSecond, 0],
    ["CPU ms/msg", (sample: Sample) => sample.cpuMsPerMessage, 2],
  ] as const) {
    for (const [cell, byName] of samples) {
      const medians = names.map((name) => median((byName.get(name) ?? []).map(valueOf)));
      const postfix = medians[names.indexOf("Postfix")] ?? Number.NaN;
      const cells = medians.map((value, at) => {
        const isOurs = names[at]?.startsWith("Posthorn") === true;
        return `${value.toFixed(digits)}${isOurs ? ` (×${(value / postfix).toFixed(2)})` : ""}`;
      });
      rows.push(`| ${what}: ${nameOf(cell)} | ${cells.join(" | ")} |`);
    }
  }
  return [
    `### ${title}`,
    "",
    `| | ${names.join(" | ")} |`,
    `|${"---|".repeat(names.length + 1)}`,
    ...rows,
    "",
    "In parentheses: Posthorn ÷ Postfix in the same run.",
  ].join("\n");
}

async function headline(): Promise<string> {
  const model = cpus()[0]?.model ?? "unknown";
  const own: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const version = typeof own === "object" && own !== null && "version" in own ? String(own.version) : "?";
  return [
    `# ${new Date().toISOString().slice(0, 10)}: Posthorn ${version}${commitOf()} beside Postfix ${await postfixVersion()}`,
    "",
    `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}; medians of ${ROUNDS} rounds, servers`,
    "taking turns. Load: Debian's smtp-source, on the same machine. All servers sync before the 250. Posthorn: emitted",
    "JavaScript, default checks, log and journal on; the split layout runs its workers as another user. Postfix: Debian's",
    "package, log to a file. Kept mail is deferred in Postfix (`defer_transports`), in the second column held (`HOLD`).",
  ].join("\n");
}

function commitOf(): string {
  try {
    return ` (${execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim()})`;
  } catch {
    return "";
  }
}

function nameOf({ sessions, keepsSession }: Load): string {
  return `${sessions} sessions, ${keepsSession ? "many each" : "1 each"}`;
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
