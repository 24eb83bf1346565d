import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { seededRandom, type Random } from "../../src/foundation/random.ts";
import { requirePeer } from "../peers/peer.ts";
import { cutsOf, rebuild, recordWrites, wordsBefore, type PowerCut, type Recording } from "./recorded-writes.ts";
import { faultsOf, promisedBy } from "./spool-check.ts";

/** More rounds, more power cuts: POSTHORN_CRASH_ROUNDS=500 node --test test/crash/ */
const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 24);
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250101);
const workload = fileURLToPath(new URL("commit-workload.ts", import.meta.url));

async function withRecording(
  strace: string,
  faults: readonly string[],
  work: (recording: Recording, directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/posthorn-power-cut-`);
  try {
    const root = `${directory}/queue`;
    const program = [process.execPath, workload, "--directory", root, "--messages", "80", "--seed", String(seed)];
    const recording = await recordWrites(strace, program, root, `${directory}/trace`, faults);
    assert.equal(recording.exitCode, 0);
    assert.match(wordsBefore(recording, Infinity), /^done$/m);
    assert.ok(promisedBy(wordsBefore(recording, Infinity)).kept.size >= 10);
    await work(recording, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function anyCut(recording: Recording, random: Random): PowerCut {
  const cuts = cutsOf(recording);
  const cutAt = cuts[Math.floor(random.next() * cuts.length)] ?? Infinity;
  const survival = [0, 0.1, 0.5, 0.9, 1][Math.floor(random.next() * 5)] ?? 0;
  return { cutAt, survival, random };
}

/** Cuts the power `count` times in the run of a recording; tells how many promises were looked after. */
async function cutOften(recording: Recording, directory: string, count: number, random: Random): Promise<number> {
  let promised = 0;
  for (let round = 0; round < count; round++) {
    const cut = anyCut(recording, random);
    const rebuilt = `${directory}/rebuilt/queue`;
    rebuild(recording, rebuilt, cut);
    const promises = promisedBy(wordsBefore(recording, cut.cutAt));
    promised += promises.kept.size;
    const faults = await faultsOf(rebuilt, promises);
    assert.deepEqual(faults, [], `round ${round} of seed ${seed}: cut at ${cut.cutAt}, survival ${cut.survival}`);
  }
  return promised;
}

test("after a power cut at any moment, every message promised by then is there, whole, and the database is sound", async (t) => {
  const strace = requirePeer("strace", t);
  if (strace === undefined) return;
  await withRecording(strace, [], async (recording, directory) => {
    const promised = await cutOften(recording, directory, rounds, seededRandom(seed));
    t.diagnostic(`${rounds} power cuts, ${promised} promises looked after, none broken`);
    assert.ok(promised > rounds, "the cuts came too early to prove anything");
  });
});

test("after a failed sync, the recovery from it, and then a power cut, every promised message is there", async (t) => {
  const strace = requirePeer("strace", t);
  if (strace === undefined) return;
  const recordings = Math.max(2, Math.round(rounds / 12));
  for (let number = 0; number < recordings; number++)
    await withRecording(strace, [`fsync:error=EIO:when=${14 + 5 * number}`], async (recording, directory) => {
      const refusals = promisedBy(wordsBefore(recording, Infinity)).refusals;
      assert.ok(refusals.includes("SPOOL_FAILED"), "the failure was felt");
      const promised = await cutOften(recording, directory, Math.round(rounds / 2), seededRandom(seed + number));
      t.diagnostic(`sync ${14 + 5 * number} failed: ${promised} promises looked after, none broken`);
    });
});

test("on a disk that only pretends to sync, the same check finds the mail that is missing", async (t) => {
  const strace = requirePeer("strace", t);
  if (strace === undefined) return;
  await withRecording(strace, [], async (recording, directory) => {
    const rebuilt = `${directory}/rebuilt/queue`;
    rebuild(recording, rebuilt, { cutAt: Infinity, survival: 0, random: seededRandom(1), ignoresSyncs: true });
    const promises = promisedBy(wordsBefore(recording, Infinity));
    assert.ok((await faultsOf(rebuilt, promises)).length >= promises.kept.size);
  });
});
