import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../../test/processes.ts";
import { attempt } from "./attempt.ts";
import type { RateCell } from "./cells.ts";
import { cellName } from "./cells.ts";
import type { Contender } from "./contender.ts";
import type { Field } from "./contenders.ts";
import type { Figures } from "./figures.ts";
import type { Plan } from "./plan.ts";
import { sampleOf } from "./sampling.ts";

export const SYNCS = "syncs";
const CALLS = "fsync,fdatasync,sync_file_range,syncfs,sync,msync";
const cells: readonly RateCell[] = [
  { sessions: 1, messages: 200, bytes: 1024, keepsSession: true },
  { sessions: 50, messages: 1000, bytes: 1024, keepsSession: true },
];

/**
 * Syncs for each message, counted with strace in a pass of its own, because it slows what it watches: with many sessions a
 * slower server gathers larger groups, so that figure is of a watched one.
 */
export async function measureSyncs(plan: Plan, field: Field, figures: Figures): Promise<void> {
  figures.note(
    SYNCS,
    `Calls of ${CALLS.replaceAll(",", ", ")}, counted by strace over all processes, in a pass of its own. strace slows what it watches, and a slower server syncs more messages at once.`,
  );
  for (const name of field.able({ task: { kind: "keep" } })) {
    if (!plan.budget.allowsAnother(SYNCS)) {
      figures.note(SYNCS, `${name}: left out, the time was over.`);
      continue;
    }
    const startedAt = performance.now();
    await attempt({ part: SYNCS, name, what: "strace" }, plan, figures, async () => {
      await using stack = plan.owner();
      const contender = stack.use(await field.start(name, { task: { kind: "keep" } }));
      await sampleOf(contender, { sessions: 10, messages: 100, bytes: 1024, keepsSession: true }, undefined);
      for (const cell of cells) {
        const messages = Math.max(100, cell.messages * plan.share);
        const { calls, sent } = await counted(contender, { ...cell, messages });
        figures.add(SYNCS, cellName(cell), "syncs", name, calls / sent);
        plan.progress(`syncs ${cellName(cell)} ${name}: ${calls} for ${sent}`);
      }
    });
    plan.budget.took(SYNCS, performance.now() - startedAt);
  }
}

async function counted(contender: Contender, cell: RateCell): Promise<{ calls: number; sent: number }> {
  const file = join(mkdtempSync(join(tmpdir(), "syncs-")), "calls");
  const pids = treeOf(contender.pid).flatMap(({ pid }) => ["-p", String(pid)]);
  const strace = spawn("strace", ["-f", "-qq", "-o", file, "-e", `trace=${CALLS}`, ...pids], { stdio: "ignore" });
  const over = once(strace, "exit");
  try {
    await attached(pids.filter((_, at) => at % 2 === 1));
    await sampleOf(contender, cell, undefined);
  } finally {
    strace.kill("SIGINT");
    await over;
  }
  const text = readFileSync(file, "latin1");
  // A call that another interrupts in the trace has a second line, `<... fsync resumed>`.
  const calls = text.split("\n").filter((line) => /^\d+\s+\w+\(/.test(line)).length;
  return { calls, sent: cell.messages };
}

async function attached(pids: readonly string[]): Promise<void> {
  const untilAt = performance.now() + 20_000;
  const isTraced = (pid: string): boolean => {
    try {
      return !/^TracerPid:\s+0$/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
    } catch {
      return true;
    }
  };
  while (!pids.every(isTraced)) {
    if (performance.now() > untilAt) throw new Error("strace could not attach to the server");
    await wait(50);
  }
}
