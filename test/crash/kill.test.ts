import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../src/foundation/random.ts";
import { faultsOf, promisedBy, type Promised } from "./spool-check.ts";

const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 8);
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250101);
const workload = fileURLToPath(new URL("commit-workload.ts", import.meta.url));

test("a store killed in a loop under load keeps every message that it ever promised", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/posthorn-kill-`);
  const random = seededRandom(seed);
  const kept = new Map<string, string>();
  const left = new Set<string>();
  try {
    for (let round = 0; round < rounds; round++) {
      // Some die while they recover from the death before; the others have promised something.
      const words = await runAndKill(`${directory}/queue`, round, 100 + random.next() * 500, round % 2 === 1);
      const promised: Promised = promisedBy(words);
      for (const [id, hash] of promised.kept) kept.set(id, hash);
      for (const id of promised.left) left.add(id);
      if (round % 4 !== 3) continue;
      assert.deepEqual(await faultsOf(`${directory}/queue`, { kept, left, refusals: [] }), [], `round ${round}`);
    }
    assert.deepEqual(await faultsOf(`${directory}/queue`, { kept, left, refusals: [] }), []);
    t.diagnostic(`${rounds} kills, ${kept.size} messages kept`);
    assert.ok(kept.size > rounds, "the kills came too early to prove anything");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

function runAndKill(directory: string, round: number, afterMs: number, hasPromised: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = [
      workload,
      "--directory",
      directory,
      "--messages",
      "1000000",
      "--committers",
      "40",
      "--seed",
      `${round}`,
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let words = "";
    let timer: NodeJS.Timeout | undefined;
    child.stdout.on("data", (chunk: Buffer) => {
      words += chunk.toString();
      // From its first word, so that a slow machine does not kill it before it began.
      if (hasPromised && promisedBy(words).kept.size === 0) return;
      timer ??= setTimeout(() => child.kill("SIGKILL"), afterMs);
    });
    child.once("error", reject);
    child.once("close", (_, signal) =>
      signal === "SIGKILL" ? resolve(words) : reject(new Error(`the workload ended by itself: ${words.slice(-300)}`)),
    );
  });
}
