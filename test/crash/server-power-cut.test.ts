import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../src/foundation/random.ts";
import { requirePeer } from "../peers/peer.ts";
import { startServer } from "../server.ts";
import { cutsOf, rebuild, recordWrites, wordsBefore, type Recording } from "./recorded-writes.ts";

/** More power cuts: POSTHORN_CRASH_ROUNDS=100 node --test test/crash/server-power-cut.test.ts */
const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 5);
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250101);
const workload = fileURLToPath(new URL("server-workload.ts", import.meta.url));

interface Kept {
  readonly subject: string;
  readonly id: string;
  readonly recipients: number;
}

/** What had been answered 250 before the cut. */
function promisedBefore(recording: Recording, cutAt: number): readonly Kept[] {
  const all = [...wordsBefore(recording, Infinity).matchAll(/^kept (\S+) (\S+) (\d)$/gm)].map(
    ([, subject = "", id = "", recipients]) => ({ subject, id, recipients: Number(recipients) }),
  );
  const replies = wordsBefore(recording, cutAt);
  return all.filter(({ id }) => replies.includes(`queued as ${id}`));
}

test("after a power cut at any moment of a whole server's run, a server on what is left delivers every mail that was answered 250, once", async (t) => {
  const strace = requirePeer("strace", t);
  if (strace === undefined) return;
  const directory = mkdtempSync(`${tmpdir()}/posthorn-server-power-cut-`);
  try {
    const root = `${directory}/recorded/data`;
    const program = [process.execPath, workload, `${directory}/recorded`, "30", String(seed)];
    const recording = await recordWrites(strace, program, root, `${directory}/trace`);
    assert.match(wordsBefore(recording, Infinity), /^done$/m);
    const random = seededRandom(seed);
    const firstPromise = recording.steps.find((step) => step.do === "say" && step.text.includes("queued as "))?.at ?? 0;
    const cuts = cutsOf(recording).filter((at) => at > firstPromise);
    let promises = 0;
    for (let round = 0; round < rounds; round++) {
      // The first cut is the hardest: right after the first 250, and nothing survives that was not synced.
      const cutAt = round === 0 ? firstPromise + 1 : (cuts[Math.floor(random.next() * cuts.length)] ?? Infinity);
      const survival = round === 0 ? 0 : ([0, 0.1, 0.5, 0.9, 1][Math.floor(random.next() * 5)] ?? 0);
      const folder = `${directory}/after-${round}`;
      rebuild(recording, `${folder}/data`, { cutAt, survival, random });
      const kept = promisedBefore(recording, cutAt);
      promises += kept.length;
      await using server = await startServer({ folder });
      const what = `round ${round} of seed ${seed}: cut at ${cutAt}, survival ${survival}`;
      const counts = await arrivals(server, kept);
      for (const { subject, recipients } of kept)
        assert.equal(counts.get(subject) ?? 0, recipients, `${subject}, ${what}\n${server.output().slice(-4000)}`);
      assert.equal(await server.stop(), 0);
    }
    t.diagnostic(`${rounds} power cuts, ${promises} promises looked after, none broken`);
    assert.ok(promises > rounds, "the cuts came too early to prove anything");
  } finally {
    if (process.env["POSTHORN_KEEP"] === undefined) rmSync(directory, { recursive: true });
  }
});

/** How often each whole mail is there, once all promised are, or at the deadline. */
async function arrivals(
  server: { mailsOf(user: string): readonly string[] },
  kept: readonly Kept[],
): Promise<ReadonlyMap<string, number>> {
  const untilAt = Date.now() + 60_000;
  for (;;) {
    const counts = new Map<string, number>();
    for (const mail of [...server.mailsOf("ada"), ...server.mailsOf("bob")]) {
      const subject = /^Subject: (m\d+)\r?$/m.exec(mail)?.[1] ?? "";
      assert.match(mail, new RegExp(`\nend of ${subject}\r?\n+$`), "a mail in a mailbox is whole");
      counts.set(subject, (counts.get(subject) ?? 0) + 1);
    }
    if (kept.every(({ subject, recipients }) => counts.get(subject) === recipients) || Date.now() > untilAt)
      return counts;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
