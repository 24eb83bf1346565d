import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { seededRandom, type Random } from "../../src/foundation/random.ts";
import { freePort, startServer, type Layout, type ServerOptions, type TestServer } from "../server.ts";
import { loadSettings, startLoad, waitForPromised, type Account, type Taking } from "./server-load.ts";

/**
 * A server under load that is made to suffer, and the account at its end: all that was answered 250 has arrived, whole;
 * nothing came twice but at a next host, around a kill.
 */
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250101);
const CLIENTS = 6;
/** Recipients at the next host of one mail, and connections to it: see `recipientsOf` and `route.limits.route`. */
const MOST_IN_TRANSACTION = 2;
const MOST_SESSIONS = 5;
/** An outcome is durable within this after the next host took the mail, on a slow machine under load. */
const OUTCOME_WITHIN_MS = 10_000;
/** A process that sends hears of another one's end within this, on such a machine: what it begins until then goes out. */
const HEARD_WITHIN_MS = 500;
/** Deliveries promised: fewer prove nothing. */
export const ENOUGH = 100;

interface Kills {
  /** By `performance.now()`: when the server, or a part of it, was killed. */
  readonly atMs: number[];
  before: number;
}

export async function withLoad(t: TestContext, layout: Layout, work: (world: World) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-crash-"));
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const random = seededRandom(seed);
  const account = await startLoad({ port: ports.smtp, clients: CLIENTS, random, pauseMs: 10 });
  const kills: Kills = { atMs: [], before: 0 };
  const start: World["start"] = (more) =>
    startServer({ layout, folder, ports, settings: loadSettings(account.sink.port), ...more });
  try {
    await work({ start, random, kills, account, folder });
    await account.stop();
    await conclude(t, { start, random, kills, account, folder });
    if (process.env["POSTHORN_KEEP"] === undefined) rmSync(folder, { recursive: true });
  } finally {
    await account[Symbol.asyncDispose]();
  }
}

export interface World {
  readonly start: (more?: Pick<ServerOptions, "onSpawn" | "wrapper" | "readyWithinMs">) => Promise<TestServer>;
  readonly random: Random;
  readonly kills: Kills;
  readonly account: Account;
  readonly folder: string;
}

/** A quiet server brings everything to its end; then the account is made up. */
async function conclude(t: TestContext, { start, kills, account, folder }: World): Promise<void> {
  await using server = await start({ readyWithinMs: 90_000 });
  const missing = await waitForPromised(account, folder, 90_000);
  const left = await emptied(folder, 60_000);
  assert.equal(await server.stop(), 0);
  const { counts, broken } = account.delivered(folder);
  const repeated = [...counts].filter(([, count]) => count > 1).map(([key]) => key);
  const twice = account.takenTwice();
  const byKill = duplicatesByKill(twice, kills.atMs);
  const extra = [...account.unknown].filter((key) => counts.has(key)).length;
  t.diagnostic(
    `${kills.atMs.length} kills (${kills.before} before it was up), ${account.promised.size} deliveries promised, ` +
      `${missing.length} missing, ${broken.length} broken, ` +
      `${account.unknown.size} without an answer (${extra} of them arrived), ` +
      `${twice.size} duplicates at the next host (most at one kill: ${Math.max(0, ...byKill.values())}), ` +
      `refusals: ${[...account.refusals].map(([reply, count]) => `${reply} ${count}`).join(", ") || "none"}`,
  );
  assert.deepEqual(missing, [], `promised with 250 and not there; the folder is ${folder}`);
  assert.deepEqual(broken, [], "arrived with another content than was sent");
  assert.equal(left, 0, "the queue is not empty");
  // Mailboxes know what they have already: no crash delivers twice there.
  assert.deepEqual(
    repeated.filter((key) => !key.includes("@far.test")),
    [],
    "delivered into a mailbox twice",
  );
  assert.ok(
    !byKill.has("outside"),
    `taken twice without a kill between: ${JSON.stringify([...twice])}, with kills at ${kills.atMs.join(", ")}`,
  );
  for (const [kill, count] of byKill)
    assert.ok(count <= 2 * MOST_SESSIONS * MOST_IN_TRANSACTION, `kill ${kill} led to ${count} duplicates`);
  assert.ok(account.promised.size > ENOUGH, "there was too little mail to prove anything");
}

/**
 * DESIGN 1.6: a second delivery is allowed only where our own crash fell between the next host's acceptance and the
 * durable outcome. So there is a kill before the second, and it did not come long before the first was begun.
 */
function duplicatesByKill(
  twice: ReadonlyMap<string, readonly Taking[]>,
  killsAtMs: readonly number[],
): ReadonlyMap<number | "outside", number> {
  const counts = new Map<number | "outside", number>();
  for (const takings of twice.values()) {
    for (const [index, second] of takings.entries()) {
      const first = takings[index - 1];
      if (first === undefined) continue;
      const kill = killsAtMs.findIndex(
        (at) => at >= first.begunAtMs - HEARD_WITHIN_MS && at < second.atMs && at - first.atMs < OUTCOME_WITHIN_MS,
      );
      const key = kill < 0 ? "outside" : kill;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

/** Waits until no envelope is queued; resolves with how many there are at the deadline. */
async function emptied(folder: string, withinMs: number): Promise<number> {
  const untilAt = Date.now() + withinMs;
  for (;;) {
    const left = queued(folder);
    if (left === 0 || Date.now() > untilAt) return left;
    await wait(200);
  }
}

function queued(folder: string): number {
  const file = join(folder, "data", "queue", "queue.db");
  if (!existsSync(file)) return -1;
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return Number(database.prepare("SELECT count(*) AS n FROM envelopes").get()?.["n"]);
  } finally {
    database.close();
  }
}
