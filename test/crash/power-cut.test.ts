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

/**
 * Right behind the syncs that follow a failed one, with nothing uncertain surviving: between the syncs of a recovery the log
 * and the database lie on the disk from different moments, and chance finds these few milliseconds too rarely.
 */
function cutsBehindFailures(recording: Recording, random: Random): readonly PowerCut[] {
  const cuts = new Set<number>();
  for (const failed of recording.steps)
    if (failed.do === "failedSync")
      for (const step of recording.steps.filter((other) => other.at > failed.at && "endedAt" in other).slice(0, 12))
        if ("endedAt" in step) cuts.add(step.endedAt + 1);
  return [...cuts].map((cutAt) => ({ cutAt, survival: 0, random }));
}

function* cutsAnywhere(recording: Recording, count: number, random: Random): Generator<PowerCut> {
  for (let made = 0; made < count; made++) yield anyCut(recording, random);
}

function anyCut(recording: Recording, random: Random): PowerCut {
  const cuts = cutsOf(recording);
  const cutAt = cuts[Math.floor(random.next() * cuts.length)] ?? Infinity;
  const survival = [0, 0.1, 0.5, 0.9, 1][Math.floor(random.next() * 5)] ?? 0;
  return { cutAt, survival, random };
}

/** Cuts the power in the run of a recording, once for each cut; tells how many promises were looked after. */
async function cutOften(recording: Recording, directory: string, cuts: Iterable<PowerCut>): Promise<number> {
  let promised = 0;
  for (const [round, cut] of [...cuts].entries()) {
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
    const promised = await cutOften(recording, directory, cutsAnywhere(recording, rounds, seededRandom(seed)));
    t.diagnostic(`${rounds} power cuts, ${promised} promises looked after, none broken`);
    assert.ok(promised > rounds, "the cuts came too early to prove anything");
  });
});

test("after a failed sync, the recovery from it, and then a power cut, every promised message is there", async (t) => {
  const strace = requirePeer("strace", t);
  if (strace === undefined) return;
  const recordings = Math.max(2, Math.round(rounds / 12));
  for (let number = 0; number < recordings; number++) {
    // Of each thread; none of them has more than some ninety.
    const failing = 14 + ((5 * number) % 60);
    await withRecording(strace, [`fsync:error=EIO:when=${failing}`], async (recording, directory) => {
      const refusals = promisedBy(wordsBefore(recording, Infinity)).refusals;
      assert.ok(refusals.includes("SPOOL_FAILED"), "the failure was felt");
      const random = seededRandom(seed + number);
      const behind = await cutOften(recording, directory, cutsBehindFailures(recording, random));
      const anywhere = cutsAnywhere(recording, Math.round(rounds / 2), random);
      const promised = behind + (await cutOften(recording, directory, anywhere));
      t.diagnostic(`sync ${failing} failed: ${promised} promises looked after, none broken`);
    });
  }
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
