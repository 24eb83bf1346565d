/**
 * Posthorn beside the servers people run: `npm run bench -- [--marks] [--only accept,tls,idle,deferred,syncs,local,relay]
 * [--with Postfix,Exim,…] [--deferred 100000] [--idle 1000,10000] [--rounds 3] [--quick] [--calm 5] [--budget-minutes 60] [--save]`.
 *
 * One machine, one load for all, each server at its own durability. In each round the servers take turns at each cell, after
 * a warm-up that does not count, so that what else the machine does falls on all of them; the tables have the medians over
 * the rounds, and the smallest and largest. Each round begins with empty queues. CPU is user + system of all processes of a server.
 *
 * `--marks` measures what the project's marks are about, and nothing else, and prints a verdict on each; `--budget-minutes`
 * begins nothing that would end after that (13 with `--marks`) and says what was left out. `--quick` is a tenth of the
 * messages, for trying the bench itself. `--calm` takes a sample of a rate again, three times at most, while the host of a virtual machine
 * takes more than so many percent of its processors for others, and keeps the calmest; all figures say how much that was. `--save` writes bench/results/DATE.md and DATE-*.svg.
 *
 * Needs root and Debian's servers as test/peers/install.sh unpacks them; Haraka is installed into the run's scratch folder.
 * A server that is not there is left out, by name.
 *
 * ext4 passes over recently deleted inodes for some minutes when files are made, which makes servers with one file a message look
 * up to three times worse. So nothing is deleted before the end but what servers delete themselves, which is why the parts that
 * deliver come last; wait six minutes before the next run.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../test/server.ts";
import { rateParts } from "./comparison/cells.ts";
import { contenderNames, isOurs, type Wanted } from "./comparison/contender.ts";
import { prepareField } from "./comparison/contenders.ts";
import { DEFERRED, deferredCell, measureDeferred } from "./comparison/deferred.ts";
import { Figures, measures, type Measure } from "./comparison/figures.ts";
import { headline, watchLoad } from "./comparison/headline.ts";
import { IDLE, idleCell, measureIdle } from "./comparison/idle.ts";
import { marksFor, verdictsOf, verdictTable } from "./comparison/marks.ts";
import { Budget, type Plan } from "./comparison/plan.ts";
import { plotOf } from "./comparison/plot.ts";
import { measureRates } from "./comparison/rates.ts";
import { SYNCS, measureSyncs } from "./comparison/syncs.ts";
import { leftOutOf, tablesOf } from "./comparison/table.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    rounds: { type: "string" },
    only: { type: "string" },
    with: { type: "string" },
    save: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    marks: { type: "boolean", default: false },
    "budget-minutes": { type: "string" },
    calm: { type: "string" },
    /** Envelopes in the long queue. */
    deferred: { type: "string" },
    /** How many idle sessions at once, in turn. */
    idle: { type: "string", default: "1000,10000" },
  },
});

/** In the order they are measured: who deletes files comes last. */
const order = ["accept", "tls", SYNCS, IDLE, DEFERRED, "local", "relay"] as const;
const titles: Readonly<Record<(typeof order)[number], string>> = {
  ...(Object.fromEntries(rateParts.map(({ id, title }) => [id, title])) as Record<
    (typeof rateParts)[number]["id"],
    string
  >),
  [SYNCS]: "Syncs",
  [IDLE]: "Memory of idle sessions",
  [DEFERRED]: "A long queue of deferred mail",
};
/** Of the time, when there is a limit. */
const weights: Readonly<Record<(typeof order)[number], number>> = {
  accept: 5,
  tls: 3,
  [SYNCS]: 2,
  [IDLE]: 2,
  [DEFERRED]: 3,
  local: 1,
  relay: 3,
};
const inMarks = ["accept", "tls", IDLE, DEFERRED, "relay"];
const wanted = options.only?.split(",") ?? (options.marks ? inMarks : order);
const unknown = wanted.find((part) => !order.some((known) => known === part));
if (unknown !== undefined) throw new Error(`no part ${unknown}: ${order.join(", ")}`);
const parts = order.filter((part) => wanted.includes(part));
const peers = options.with?.split(",");
const names = contenderNames.filter(
  (name) => isOurs(name) || peers === undefined || peers.some((peer) => name.startsWith(peer)),
);
const count = Number(options.deferred ?? (options.quick ? 5000 : 100_000));
const idle = options.idle.split(",").map(Number);
const mostStolen = Number(options.calm ?? 100) / 100;
if (!(mostStolen >= 0)) throw new Error("--calm is a number of percent, such as 5");

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
    void Promise.allSettled([...open].map((one) => one[Symbol.asyncDispose]())).then(() => {
      rmSync(scratch, { recursive: true, force: true });
      process.exit(1);
    });
  });

const plan: Plan = {
  rounds: Number(options.rounds ?? (options.quick ? 1 : options.marks ? 2 : 3)),
  share: options.quick ? 0.1 : 1,
  marksOnly: options.marks,
  mostStolen,
  budget: new Budget(Number(options["budget-minutes"] ?? (options.marks ? 13 : 600)), () => performance.now()),
  progress: (text) => void process.stderr.write(`${text}\n`),
  owner() {
    const stack = new AsyncDisposableStack();
    open.add(stack);
    stack.defer(() => void open.delete(stack));
    return stack;
  },
};

try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const load = watchLoad();
  const figures = new Figures();
  const field = await prepareField(names, scratch);
  for (const [name, why] of field.absent) plan.progress(`${name} is left out: ${why}`);
  const weightOf = (some: readonly (typeof order)[number][]): number =>
    some.reduce((sum, part) => sum + weights[part], 0);
  for (const [at, part] of parts.entries()) {
    plan.budget.begin(weightOf(parts.slice(0, at + 1)) / weightOf(parts));
    if (part === IDLE) await measureIdle(plan, idle, field, figures);
    else if (part === DEFERRED) await measureDeferred(plan, count, field, figures);
    else if (part === SYNCS) await measureSyncs(plan, field, figures);
    else for (const rates of rateParts) if (rates.id === part) await measureRates(rates, plan, field, figures);
    for (const text of leftOutOf(field.names, wantedIn(part))) figures.note(part, text);
  }
  load.stop();
  const marks = marksFor({ part: DEFERRED, cell: deferredCell(count) }, { part: IDLE, cell: idleCell(1000, true) });
  const verdicts = verdictTable(verdictsOf(marks, figures, parts));
  const day = new Date().toISOString().slice(0, 10);
  const plots = plotsOf(figures);
  const text = [
    headline(field, plan.rounds, load.loads, options.quick),
    `### The project's marks\n\nRatios inside this run. The best peer is the best of Postfix, Exim, OpenSMTPD and Haraka in that cell. The last columns are what Node came to without a server in it, keeping mail in one file and in Posthorn's queue and journal.\n\n${verdicts}`,
    ...parts.flatMap((part) => [
      tablesOf(titles[part], part, figures),
      ...plots.filter((plot) => plot.part === part).map(({ file }) => `![${titles[part]}](${day}-${file}.svg)`),
    ]),
  ].join("\n\n");
  process.stdout.write(`${text}\n`);
  if (!options.save) return;
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${day}.md`), `${text}\n`);
  for (const { file, svg } of plots) writeFileSync(join(folder, `${day}-${file}.svg`), svg);
}

function wantedIn(part: (typeof order)[number]): Wanted {
  if (part === "local") return { task: { kind: "local" } };
  if (part === IDLE) return { task: { kind: "keep" }, sessions: Math.max(...idle), hasTls: true };
  return { task: { kind: "keep" }, hasTls: part === "tls" };
}

interface Plot {
  readonly part: string;
  readonly file: string;
  readonly svg: string;
}

function plotsOf(figures: Figures): readonly Plot[] {
  const all: Plot[] = [];
  for (const part of parts)
    for (const measure of Object.keys(measures) as Measure[]) {
      const svg = plotOf(titles[part], measure, figures.rowsOf(part));
      if (svg !== undefined && measure !== "clients" && measure !== "stolen")
        all.push({ part, file: `${part}-${measure}`, svg });
    }
  return all;
}
