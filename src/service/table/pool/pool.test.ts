import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { seededRandom } from "../../../foundation/random.ts";
import { virtualClock, type VirtualClock } from "../../../simulator/clock.ts";
import { createPool, PoolFailure, type Pool, type PoolOptions } from "./pool.ts";

/** A server by name: how it is to whoever connects. */
type Conduct = "well" | "refuses" | "hangs";
class Answer extends Error {}

interface Connection {
  readonly host: string;
  readonly number: number;
  isClosed: boolean;
  onGone(why: string): void;
}

interface World {
  readonly clock: VirtualClock;
  readonly pool: Pool<Connection>;
  readonly conduct: Record<string, Conduct>;
  readonly opened: Connection[];
  readonly attempts: string[];
}

const OPTIONS: PoolOptions = {
  hosts: ["a"],
  mostConnections: 2,
  mostWaiting: 3,
  connectMs: 1000,
  idleMs: 60_000,
  lifetimeMs: 600_000,
  firstPauseMs: 1000,
  longestPauseMs: 8000,
};

function world(changed: Partial<PoolOptions> = {}): World {
  const clock = virtualClock(0);
  const conduct: Record<string, Conduct> = {};
  const opened: Connection[] = [];
  const attempts: string[] = [];
  const pool = createPool<Connection>(
    {
      async open(host, signal, onGone) {
        attempts.push(host);
        await turn();
        switch (conduct[host] ?? "well") {
          case "refuses":
            throw new Error("refused");
          case "hangs":
            return await new Promise((_, reject) => {
              signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
            });
          case "well": {
            const connection = { host, number: opened.length, isClosed: false, onGone };
            opened.push(connection);
            return connection;
          }
        }
      },
      close: (connection) => void (connection.isClosed = true),
      isAnswer: (error) => error instanceof Answer,
    },
    { ...OPTIONS, ...changed },
    clock,
    seededRandom(1),
  );
  return { clock, pool, conduct, opened, attempts };
}

/** What became of a question, once it is known. */
function asked(
  pool: Pool<Connection>,
  work: (connection: Connection) => Promise<string>,
  limitMs = 5000,
): { told: string } {
  const outcome = { told: "" };
  pool.use(limitMs, work).then(
    (value) => (outcome.told = value),
    (failure: unknown) => (outcome.told = failure instanceof PoolFailure ? `failed: ${failure.message}` : "threw"),
  );
  return outcome;
}
const hostOf = (connection: Connection): Promise<string> => Promise.resolve(connection.host);
const never = (): Promise<string> => new Promise(() => {});

test("connections are kept, and no more are opened than allowed", async () => {
  const { clock, pool, opened } = world();
  const releases: (() => void)[] = [];
  const held = Array.from({ length: 5 }, () =>
    asked(pool, ({ host }) => new Promise((resolve) => releases.push(() => resolve(host)))),
  );
  await clock.advance(0);
  assert.equal(releases.length, 2);
  assert.deepEqual(pool.counts(), { open: 2, busy: 2, waiting: 3, most: 2 });
  assert.match(await toldBy(clock, asked(pool, hostOf)), /^failed: 3 lookups wait for a connection already/);
  while (releases.length > 0) {
    releases.shift()?.();
    await clock.advance(0);
  }
  assert.deepEqual(
    held.map(({ told }) => told),
    ["a", "a", "a", "a", "a"],
  );
  assert.equal(opened.length, 2);
  assert.deepEqual(pool.counts(), { open: 2, busy: 0, waiting: 0, most: 2 });
});

test("a server that refuses is left alone for a growing while, and who asks is told at once", async () => {
  const { clock, pool, conduct, attempts } = world();
  conduct["a"] = "refuses";
  let previous = 0;
  for (const pause of [1000, 2000, 4000, 8000, 8000]) {
    assert.match(await toldBy(clock, asked(pool, hostOf)), /^failed: a: refused; tried again in /);
    const count = attempts.length;
    await clock.advance(pause * 0.7);
    assert.match(await toldBy(clock, asked(pool, hostOf)), /^failed: a: refused; tried again in /);
    assert.equal(attempts.length, count);
    assert.equal(count, ++previous);
    await clock.advance(pause * 0.3 + 1);
  }
  conduct["a"] = "well";
  assert.equal(await toldBy(clock, asked(pool, hostOf)), "a");
});

test("a server that was not reached yet is tried by one connection at a time", async () => {
  const { clock, pool, conduct, attempts } = world({ mostConnections: 10 });
  conduct["a"] = "hangs";
  const many = Array.from({ length: 10 }, () => asked(pool, hostOf));
  await clock.advance(999);
  assert.equal(attempts.length, 1);
  await clock.advance(1);
  assert.ok(many.every(({ told }) => told.startsWith("failed: a: no connection within 1s; tried again in")));
});

test("the next host is asked when the first fails, and the first again when it is well and the connection old", async () => {
  const { clock, pool, conduct } = world({ hosts: ["a", "b"], mostConnections: 1 });
  conduct["a"] = "hangs";
  const first = asked(pool, hostOf);
  await clock.advance(1000);
  assert.equal(first.told, "b");
  conduct["a"] = "well";
  assert.equal(await toldBy(clock, asked(pool, hostOf)), "b");
  // Kept busy, so that it is not idle; its age alone ends it.
  for (let minute = 0; minute < 11; minute++) {
    await clock.advance(59_000);
    await toldBy(clock, asked(pool, hostOf));
  }
  assert.equal(await toldBy(clock, asked(pool, hostOf)), "a");
});

test("while the first host is tried again, those who need more connections get them from the one that is well", async () => {
  const { clock, pool, conduct, attempts } = world({ hosts: ["a", "b"], mostConnections: 4 });
  conduct["a"] = "refuses";
  const held = asked(pool, never, 60_000);
  await clock.advance(0);
  conduct["a"] = "hangs";
  await clock.advance(1000);
  const before = attempts.length;
  const two = [asked(pool, hostOf), asked(pool, hostOf)];
  await clock.advance(0);
  assert.deepEqual(attempts.slice(before), ["a", "b"]);
  assert.deepEqual(
    two.map(({ told }) => told),
    ["b", "b"],
  );
  assert.equal(held.told, "");
});

test("a question that is not answered in time fails, and its connection is closed", async () => {
  const { clock, pool, opened } = world();
  const late = asked(pool, never, 3000);
  await clock.advance(2999);
  assert.equal(late.told, "");
  await clock.advance(1);
  assert.equal(late.told, "failed: a: no answer within 3s");
  assert.equal(opened[0]?.isClosed, true);
  assert.equal(await toldBy(clock, asked(pool, hostOf)), "a");
});

test("who waits for a connection in vain hears so when the time is over", async () => {
  const { clock, pool } = world({ mostConnections: 1 });
  asked(pool, never, 60_000);
  await clock.advance(0);
  const waiting = asked(pool, hostOf, 2000);
  await clock.advance(2000);
  assert.equal(waiting.told, "failed: no connection became free in time");
});

test("an error that the server answers costs no connection; a broken connection costs the idle ones too", async () => {
  const { clock, pool, opened } = world();
  const both = [asked(pool, hostOf), asked(pool, async (connection) => (await turn(), connection.host))];
  await clock.advance(0);
  assert.deepEqual(
    both.map(({ told }) => told),
    ["a", "a"],
  );
  const open = pool.counts().open;
  assert.equal(
    await toldBy(
      clock,
      asked(pool, () => Promise.reject(new Answer("no such table"))),
    ),
    "failed: a: no such table",
  );
  assert.equal(pool.counts().open, open);
  // Used before, so it may have been closed meanwhile: it is asked again, once, on a new one.
  let count = 0;
  const again = await toldBy(
    clock,
    asked(pool, ({ host }) => (count++ === 0 ? Promise.reject(new Error("reset")) : Promise.resolve(host))),
  );
  assert.equal(again, "a");
  assert.ok(opened.slice(0, open).every(({ isClosed }) => isClosed));
  const broken = await toldBy(
    clock,
    asked(pool, () => Promise.reject(new Error("reset"))),
  );
  assert.equal(broken, "failed: a: reset");
});

test("a connection lost on its way from one question to the next costs nothing but another", async () => {
  let atOnce = 0;
  for (let steps = 0; steps < 12; steps++) {
    const { clock, pool, opened } = world({ mostConnections: 1 });
    const first = Promise.withResolvers<string>();
    const before = asked(pool, () => first.promise);
    const handed: boolean[] = [];
    const behind = asked(pool, (connection) => {
      handed.push(connection.isClosed);
      return hostOf(connection);
    });
    await clock.advance(0);
    assert.deepEqual(pool.counts(), { open: 1, busy: 1, waiting: 1, most: 1 });
    first.resolve("done");
    for (let step = 0; step < steps; step++) await Promise.resolve();
    opened[0]?.onGone("lost");
    assert.equal(await toldBy(clock, before), "done");
    assert.equal(await toldBy(clock, behind), "a");
    assert.deepEqual(handed, [false], `${steps} steps`);
    if (opened.length === 1) atOnce++;
  }
  // Late enough it was used before it was lost.
  assert.ok(atOnce > 0 && atOnce < 12, `${atOnce} of 12`);
});

test("idle connections are closed, and lost ones are noticed", async () => {
  const { clock, pool, opened } = world();
  await toldBy(clock, asked(pool, hostOf));
  await clock.advance(59_999);
  assert.equal(opened[0]?.isClosed, false);
  await clock.advance(1);
  assert.equal(opened[0]?.isClosed, true);
  await toldBy(clock, asked(pool, hostOf));
  opened[1]?.onGone("the server closed the connection");
  assert.equal(pool.counts().open, 0);
  assert.equal(await toldBy(clock, asked(pool, hostOf)), "a");
  assert.equal(opened.length, 3);
});

test("closed, everything that was asked ends, and nothing is left open", async () => {
  const { clock, pool, opened, conduct } = world({ hosts: ["a", "b"] });
  const inWork = asked(pool, never, 60_000);
  await clock.advance(0);
  conduct["a"] = "hangs";
  const others = [asked(pool, never, 60_000), asked(pool, hostOf, 60_000)];
  await clock.advance(0);
  pool.close();
  await clock.advance(0);
  for (const { told } of [inWork, ...others]) assert.match(told, /^failed: .*closed/);
  assert.ok(opened.every(({ isClosed }) => isClosed));
  assert.match(await toldBy(clock, asked(pool, hostOf)), /closed/);
  assert.equal(clock.nextAt(), undefined);
});

test("whatever servers do, each question ends in its time and the bounds hold", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("ask" as const), as: fc.constantFrom("answers", "errs", "breaks", "hangs") }),
    fc.record({
      do: fc.constant("conduct" as const),
      host: fc.constantFrom("a", "b"),
      is: fc.constantFrom<Conduct>("well", "refuses", "hangs"),
    }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 3000 }) }),
    fc.record({ do: fc.constant("lose" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { clock, pool, conduct, opened } = world({ hosts: ["a", "b"] });
      const all: { told: string }[] = [];
      for (const each of steps) {
        if (each.do === "conduct") conduct[each.host] = each.is;
        else if (each.do === "wait") await clock.advance(each.ms);
        else if (each.do === "lose") opened.find(({ isClosed }) => !isClosed)?.onGone("lost");
        else
          all.push(
            asked(pool, (connection) => {
              assert.equal(connection.isClosed, false);
              if (each.as === "hangs") return never();
              if (each.as === "errs") return Promise.reject(new Answer("error"));
              return each.as === "breaks" ? Promise.reject(new Error("broken")) : hostOf(connection);
            }),
          );
        const { open, waiting } = pool.counts();
        assert.ok(open <= OPTIONS.mostConnections && waiting <= OPTIONS.mostWaiting + OPTIONS.mostConnections);
      }
      await clock.advance(5001);
      for (const { told } of all) assert.match(told, /^(?:a|b|failed: .+)$/);
      assert.deepEqual([pool.counts().busy, pool.counts().waiting], [0, 0]);
      await clock.advance(120_000);
      assert.equal(pool.counts().open, 0);
      assert.ok(opened.every(({ isClosed }) => isClosed));
    }),
    { numRuns: 100 },
  );
});

async function toldBy(clock: VirtualClock, outcome: { told: string }): Promise<string> {
  await clock.advance(0);
  return outcome.told;
}
