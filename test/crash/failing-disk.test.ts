import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { requirePeer } from "../peers/peer.ts";
import { faultsOf, promisedBy } from "./spool-check.ts";

const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 2);
const workload = fileURLToPath(new URL("commit-workload.ts", import.meta.url));

/** `when` counts in each thread by itself: SQLite's calls are those of the queue's writer, body files have the pool. */
const failures = [
  { call: "fsync", error: "EIO", says: "a sync of the log or the database fails", first: 14, refusal: "SPOOL_FAILED" },
  { call: "pwrite64", error: "EIO", says: "a write fails", first: 40, refusal: "SPOOL_FAILED" },
  { call: "pwrite64", error: "ENOSPC", says: "the disk is full for a moment", first: 40, refusal: "SPOOL_FULL" },
  { call: "fdatasync", error: "EIO", says: "a sync of a body file fails", first: 1, refusal: "SPOOL_FAILED" },
] as const;

for (const { call, error, says, first, refusal } of failures) {
  test(`when ${says} (${call} ${error}), no promised message is lost, and the store takes mail again`, async (t) => {
    const strace = requirePeer("strace", t);
    if (strace === undefined) return;
    const seen = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      const directory = mkdtempSync(`${tmpdir()}/posthorn-failing-disk-`);
      try {
        const begin = first + round * 7;
        // A disk that is full stays so for a while.
        const when = error === "ENOSPC" ? `${begin}..${begin + 80}` : String(begin);
        const words = await run(strace, [
          "-f",
          "--seccomp-bpf",
          "-qq",
          "-o",
          "/dev/null",
          "-e",
          `trace=${call}`,
          "-e",
          `inject=${call}:error=${error}:when=${when}`,
          process.execPath,
          workload,
          "--directory",
          `${directory}/queue`,
          "--messages",
          "120",
        ]);
        const promised = promisedBy(words);
        for (const code of promised.refusals) seen.add(code);
        assert.match(words, /^done$/m, "the workload came to its end");
        assert.ok(promised.kept.size > 0);
        assert.deepEqual(
          await faultsOf(`${directory}/queue`, promised),
          [],
          `${call} number ${when} failed with ${error}`,
        );
      } finally {
        rmSync(directory, { recursive: true });
      }
    }
    assert.ok(seen.has(refusal), `no failure was felt: ${[...seen].join(", ")}`);
  });
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    let words = "";
    child.stdout.on("data", (chunk: Buffer) => (words += chunk.toString()));
    child.once("error", reject);
    child.once("close", () => resolve(words));
  });
}
