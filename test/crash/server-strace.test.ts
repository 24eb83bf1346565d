import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import { requirePeer } from "../peers/peer.ts";
import { LAYOUTS, type TestServer } from "../server.ts";
import { withLoad } from "./server-world.ts";
import type { Account } from "./server-load.ts";

/**
 * The disk lets a running server down: for a while, every call of a kind fails in all of its processes, the queue's as
 * well as those of mailboxes, body files and the journal. Then the disk is well again, and so must the server be.
 */
const failures = [
  {
    call: "fsync",
    error: "EIO",
    says: "every sync of the queue and of directories fails",
    keepsNothing: true,
    inSplit: true,
  },
  {
    call: "fdatasync",
    error: "EIO",
    says: "every sync of body files and mailboxes fails",
    keepsNothing: false,
    inSplit: false,
  },
  { call: "pwrite64", error: "ENOSPC", says: "the disk is full", keepsNothing: true, inSplit: true },
  { call: "pwrite64", error: "EIO", says: "every write fails", keepsNothing: true, inSplit: false },
] as const;
/** Replies to what was durable before may still come for so long. */
const UNDER_WAY_MS = 700;

for (const layout of LAYOUTS)
  test(`${layout}: while the disk fails, clients are told to come again; then all goes on, and nothing promised is lost`, async (t) => {
    const strace = requirePeer("strace", t);
    if (strace === undefined) return;
    await withLoad(t, layout, async ({ start, account }) => {
      await using server = await start();
      await progress(server, account, "at the beginning");
      // Between the processes of a split server the same errors travel; two kinds of them are enough there.
      for (const { call, error, says, keepsNothing, inSplit } of failures) {
        if (layout === "split" && !inSplit) continue;
        const refusedBefore = refusalsOf(account);
        const during: number = await whileFailing(strace, server, `${call}:error=${error}`, async () => {
          // What was under way ends; from then on nobody can be promised anything.
          await untilRefused(account, refusedBefore + 1);
          await wait(UNDER_WAY_MS);
          const promised = account.promised.size;
          await untilRefused(account, refusalsOf(account) + 5);
          return account.promised.size - promised;
        });
        if (keepsNothing) assert.equal(during, 0, `${during} mails were answered 250 while ${says} (${error})`);
        await progress(server, account, `after a time when ${says} (${error})`);
      }
      for (const reply of account.refusals.keys()) assert.match(reply, /^45[12][ -]4\.3\.[01]/);
      assert.equal(await server.stop(), 0);
    });
  });

async function untilRefused(account: Account, count: number): Promise<void> {
  for (const untilAt = Date.now() + 60_000; refusalsOf(account) < count; await wait(50))
    assert.ok(Date.now() < untilAt, `${refusalsOf(account)} refusals, not ${count}`);
}

/** Mail is promised and delivered. */
async function progress(server: TestServer, account: Account, when: string): Promise<void> {
  const promisedBefore = account.promised.size;
  const deliveredBefore = account.delivered(server.folder).counts.size;
  const untilAt = Date.now() + 60_000;
  for (;;) {
    await wait(200);
    const promised = account.promised.size - promisedBefore;
    const delivered = account.delivered(server.folder).counts.size - deliveredBefore;
    if (promised >= 40 && delivered >= 40) return;
    assert.ok(
      Date.now() < untilAt,
      `${when}: only ${promised} promised and ${delivered} delivered in 60 s\n${server.output().slice(-6000)}`,
    );
  }
}

function refusalsOf(account: Account): number {
  return [...account.refusals.values()].reduce((sum, count) => sum + count, 0);
}

async function whileFailing<Value>(
  strace: string,
  server: TestServer,
  fault: string,
  work: () => Promise<Value>,
): Promise<Value> {
  const processes = treeOf(server.process.pid ?? 0).map(({ pid }) => String(pid));
  const tracer = spawn(
    strace,
    [
      "-f",
      "-o",
      "/dev/null",
      "-e",
      `trace=${fault.split(":")[0]}`,
      "-e",
      `inject=${fault}`,
      ...processes.flatMap((pid) => ["-p", pid]),
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  try {
    let said = "";
    tracer.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()));
    const untilAt = Date.now() + 60_000;
    while (processes.some((pid) => !new RegExp(`Process ${pid} attached`).test(said))) {
      if (Date.now() > untilAt || tracer.exitCode !== null) throw new Error(`strace did not attach: ${said}`);
      await wait(20);
    }
    return await work();
  } finally {
    // It lets go of the server and ends.
    if (tracer.exitCode === null && tracer.kill("SIGTERM")) await once(tracer, "exit");
  }
}
