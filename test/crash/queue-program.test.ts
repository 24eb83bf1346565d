import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../src/foundation/random.ts";
import { treeOf } from "../processes.ts";
import { faultsOf, promisedBy } from "./spool-check.ts";

const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 6);
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250101);
const workload = fileURLToPath(new URL("commit-workload.ts", import.meta.url));
const program = fileURLToPath(new URL("../../docs/examples/queue-program.py", import.meta.url));

test("a queue program killed again and again under load, and at last the server too, keeps every message that was promised", async (t) => {
  const directory = `${mkdtempSync(`${tmpdir()}/posthorn-queue-program-`)}/queue`;
  const random = seededRandom(seed);
  const args = ["--messages", "1000000", "--committers", "40", "--queue-program", program];
  const child = spawn(process.execPath, [workload, "--directory", directory, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    let words = "";
    child.stdout.on("data", (chunk: Buffer) => (words += chunk.toString()));
    let kills = 0;
    let keptBefore = 0;
    for (let untilAt = Date.now() + 150_000; kills < rounds && Date.now() < untilAt; await wait(10)) {
      const pid = programOf(child.pid ?? 0);
      // Each one has promised something before it dies.
      const { kept } = promisedBy(words);
      if (pid === undefined || kept.size <= keptBefore + 20) continue;
      await wait(random.next() * 200);
      process.kill(pid, "SIGKILL");
      keptBefore = promisedBy(words).kept.size;
      kills++;
    }
    assert.equal(kills, rounds);
    await wait(300);
    child.kill("SIGKILL");
    await ended;
    const promised = promisedBy(words);
    assert.deepEqual(await faultsOf(directory, promised, program), []);
    assert.ok(promised.refusals.includes("SPOOL_FAILED"), "no death was felt");
    t.diagnostic(`${kills} kills, ${promised.kept.size} messages kept, ${promised.refusals.length} refused`);
  } finally {
    child.kill("SIGKILL");
    rmSync(directory.slice(0, -"/queue".length), { recursive: true });
  }
});

function programOf(root: number): number | undefined {
  return treeOf(root).find(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(program) && pid !== root;
    } catch {
      return false;
    }
  })?.pid;
}
