import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import type { TestServer } from "../server.ts";
import { ENOUGH, withLoad, type World } from "./server-world.ts";

/** The long form: POSTHORN_CRASH_ROUNDS=200 node --test test/crash/server-kill.test.ts */
const rounds = Number(process.env["POSTHORN_CRASH_ROUNDS"] ?? 6);

/** Starts a server and kills all of it; one time in five before it is up. */
async function liveAndDie(
  { start, random, kills }: World,
  whileUp: (server: TestServer) => Promise<void>,
): Promise<void> {
  if (random.next() < 0.2) {
    const afterMs = random.next() * 900;
    const started = start({
      onSpawn: (pid) => {
        setTimeout(() => {
          kills.atMs.push(performance.now());
          kills.before++;
          process.kill(-pid, "SIGKILL");
        }, afterMs);
      },
    });
    // It was killed before it was up, or right after.
    await started.then(
      async ({ process: { exitCode, signalCode }, process: child }) =>
        exitCode === null && signalCode === null ? once(child, "exit") : undefined,
      () => {},
    );
    return;
  }
  const server = await start();
  try {
    await whileUp(server);
  } finally {
    kills.atMs.push(performance.now());
    await server.kill();
  }
}

/** Waits until a life has had its share of the mail that proves something: on a slow machine that takes its time. */
async function untilEnough(round: number, { account }: World): Promise<void> {
  const share = (1.3 * ENOUGH * (round + 1)) / rounds;
  for (const untilAt = Date.now() + 30_000; account.promised.size < share && Date.now() < untilAt;) await wait(20);
}

test("single: a server killed in a loop under load loses no mail it said 250 for, and repeats only what was in flight", async (t) => {
  await withLoad(t, "single", async (world) => {
    for (let round = 0; round < rounds; round++)
      await liveAndDie(world, async () => {
        await untilEnough(round, world);
        await wait(50 + world.random.next() * 1000);
      });
  });
});

test("split: single workers and whole servers killed in a loop under load lose no mail that was answered 250", async (t) => {
  await withLoad(t, "split", async (world) => {
    const { random, kills } = world;
    // Each life sees the ends of four workers, then its own.
    for (let round = 0; round < rounds; round += 5)
      await liveAndDie(world, async (server) => {
        for (let worker = 0; worker < 4; worker++) {
          await wait(200 + random.next() * 1000);
          const root = server.process.pid ?? 0;
          const workers = treeOf(root).filter(({ pid }) => pid !== root);
          const victim = workers[Math.floor(random.next() * workers.length)];
          if (victim === undefined) continue;
          kills.atMs.push(performance.now());
          process.kill(victim.pid, "SIGKILL");
        }
        await untilEnough(round + 4, world);
        await wait(200 + random.next() * 1500);
      });
  });
});
