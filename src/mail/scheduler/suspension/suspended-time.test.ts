import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable } from "../../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { memoryStore } from "../../queue/memory-store.ts";
import type { Store } from "../../queue/store.ts";
import type { SuspensionLevel } from "./suspension.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A server whose next host is down. */
function server(store: Store, startAt?: number): SimulatedScheduling {
  const simulation = simulatedScheduling({ store, ...(startAt === undefined ? {} : { startAt }) });
  simulation.world.setDomain("a.example", [{ name: "mx", ip: "192.0.2.1", onConnect: () => unreachable("192.0.2.1") }]);
  simulation.scheduler.start();
  return simulation;
}

function suspend(
  { scheduler, clock }: SimulatedScheduling,
  level: SuspensionLevel,
  key: string,
  untilAt?: number,
): Promise<number> {
  return scheduler.suspend({ level, key, because: "an incident", by: "ann", setAt: clock.now(), untilAt });
}

/** It stops, and is started again after that long. */
async function again({ scheduler, clock }: SimulatedScheduling, store: Store, afterMs: number) {
  const stopped = scheduler.stop(0);
  await clock.advance(0);
  await stopped;
  const next = server(store, clock.now() + afterMs);
  await next.clock.advance(0);
  return next;
}

async function daysLeft({ scheduler, clock }: SimulatedScheduling, store: Store): Promise<number> {
  assertSchedulerInvariants(scheduler.state);
  const [row] = await store.list({});
  return Math.round(((row?.expiresAt ?? 0) - clock.now()) / HOUR) / 24;
}

test("a restart after a suspension was lifted, before its mail was tried, does not forget how long that was held", async () => {
  for (const [level, key] of [
    ["domain", "a.example"],
    ["host", "192.0.2.1"],
  ] as const) {
    const store = memoryStore();
    const first = server(store);
    await first.clock.advance(0);
    await suspend(first, level, key);
    await first.send({ to: ["u@a.example"] });
    await first.clock.advance(5 * DAY);
    first.scheduler.pause("out", "to have it there");
    assert.equal(await first.scheduler.unsuspend(level, key, "ann"), 1);
    await first.clock.advance(MINUTE);
    assert.deepEqual(await store.notes(""), [], "nothing is left to do");
    const second = await again(first, store, MINUTE);
    await second.clock.advance(10 * MINUTE);
    assert.deepEqual(second.notices, [], `${level}: neither returned nor warned about`);
    assert.equal(await daysLeft(second, store), 4, level);
  }
});

test("the time of a suspension that ends while the server is down does not count, and it is told that it is over", async () => {
  const store = memoryStore();
  const first = server(store);
  await first.clock.advance(0);
  await suspend(first, "domain", "a.example", first.clock.now() + 5 * DAY);
  await first.send({ to: ["u@a.example"] });
  await first.clock.advance(4 * DAY);
  const second = await again(first, store, 3 * DAY);
  await second.clock.advance(10 * MINUTE);
  assert.deepEqual(
    second.notices.map(({ kind }) => kind),
    ["delay"],
  );
  // Two days of the time that the server was down are its own.
  assert.equal(await daysLeft(second, store), 2);
  assert.ok(second.lines.includes("qmgr: suspension of domain a.example is over, 1 envelopes held"));
  assert.deepEqual(await store.notes(""), []);
});

test("so it is of a relay, host or route, whose mail is known by looking for its way only", async () => {
  for (const [level, key] of [
    ["relay", "a.example"],
    ["host", "mx"],
    ["host", "192.0.2.1"],
    ["route", "mx[192.0.2.1]:25"],
  ] as const) {
    const store = memoryStore();
    const first = server(store);
    await first.clock.advance(0);
    await suspend(first, level, key, first.clock.now() + 5 * DAY);
    await first.send({ to: ["u@a.example"] });
    await first.clock.advance(4 * DAY);
    const second = await again(first, store, 3 * DAY);
    await second.clock.advance(10 * MINUTE);
    assert.deepEqual(
      second.notices.map(({ kind }) => kind),
      ["delay"],
      `${level} ${key}`,
    );
    assert.equal(await daysLeft(second, store), 2, `${level} ${key}`);
    assert.ok(second.lines.includes(`qmgr: suspension of ${level} ${key} is over, 1 envelopes held`));
    assert.deepEqual(await store.notes(""), []);
  }
});

test("a crash after a suspension was lifted, before that is written for its mail, lifts it once more", async () => {
  const inner = memoryStore();
  const crash = new AbortController();
  const store: Store = {
    ...inner,
    async apply(batch) {
      // From there on nothing of the mail gets to the disk.
      if (crash.signal.aborted && batch.some((one) => one.do !== "note")) await new Promise(() => {});
      await inner.apply(batch);
    },
  };
  const first = server(store);
  await first.clock.advance(0);
  await suspend(first, "domain", "a.example");
  await first.send({ to: ["u@a.example"] });
  await first.clock.advance(5 * DAY);
  crash.abort();
  assert.equal(await first.scheduler.unsuspend("domain", "a.example", "ann"), 1);
  await first.clock.advance(MINUTE);
  assert.equal((await inner.notes("")).length, 1);
  const second = await again(first, inner, MINUTE);
  assert.equal(second.scheduler.state.suspensionCount, 0);
  await second.clock.advance(10 * MINUTE);
  assert.deepEqual(second.notices, []);
  assert.equal(await daysLeft(second, inner), 4);
  assert.deepEqual(await inner.notes(""), []);
});

test("of suspensions one after the other no part of the time counts, with restarts between", async () => {
  const store = memoryStore();
  const first = server(store);
  await first.clock.advance(0);
  // The second one's level comes before the first one's.
  await suspend(first, "domain", "a.example", first.clock.now() + 3 * DAY);
  await first.send({ to: ["u@a.example"] });
  await first.clock.advance(2 * DAY);
  await suspend(first, "sender", "sender@mail.example", first.clock.now() + 3 * DAY);
  const second = await again(first, store, 2 * DAY);
  assert.equal(second.scheduler.state.suspensionCount, 1);
  await second.clock.advance(DAY + MINUTE);
  assert.equal(await daysLeft(second, store), 4);
});

test("what is held or scheduled by an operator while it is suspended does not lose the time until then", async () => {
  for (const isHeld of [true, false]) {
    const store = memoryStore();
    const simulation = server(store);
    const { clock, scheduler } = simulation;
    await clock.advance(0);
    await suspend(simulation, "domain", "a.example");
    await simulation.send({ to: ["u@a.example"] });
    await clock.advance(3 * DAY);
    const selector = { by: "all" } as const;
    if (isHeld) await scheduler.command({ do: "hold", selector, because: "a look" });
    else await scheduler.command({ do: "schedule", selector, at: clock.now() + DAY });
    assert.equal(await daysLeft(simulation, store), 4);
  }
});
