import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { virtualClock, type VirtualClock } from "../../simulator/clock.ts";
import type { SimulatedHost } from "../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { memoryStore } from "../queue/memory-store.ts";

/** The machine's clock is set, while timers go on as they did. */
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};
const EXACT = {
  retry: { spread: 0, relay: { by: "list", waits: ["10m"] } },
  expireAfter: "4d",
  warnAfter: "0s",
} as const;

interface Scene extends SimulatedScheduling {
  isFull: boolean;
  attempts: number;
  /** By how much the time of day is wrong. */
  aheadMs: number;
}

function scene(store = memoryStore(), aheadMs = 0): Scene {
  const time = virtualClock(NOON);
  const wrong = { isFull: true, attempts: 0, aheadMs };
  const clock: VirtualClock = { ...time, now: () => time.now() + wrong.aheadMs };
  const scene: Scene = Object.assign(wrong, simulatedScheduling({ scheduler: EXACT, clock, store }));
  const host: SimulatedHost = {
    name: "mx",
    ip: "192.0.2.1",
    connectMs: 0,
    transactMs: 0,
    onEnvelope: () => {
      scene.attempts++;
      return scene.isFull ? full : undefined;
    },
  };
  scene.world.setDomain("a.example", [host]);
  return scene;
}

test("mail that was put off while the clock was days ahead is tried after its wait when the clock is right again, and not returned", async () => {
  const at = scene();
  const { clock, scheduler } = at;
  at.aheadMs = 60 * HOUR;
  await at.send({ to: ["u@a.example"] });
  await clock.advance(MINUTE);
  assert.equal(at.attempts, 1);
  at.aheadMs = 0;
  at.isFull = false;
  await clock.advance(7 * MINUTE);
  assert.equal(at.attempts, 1, "not before its wait is over");
  assertSchedulerInvariants(scheduler.state);
  // It may take a minute to see that the clock is another.
  await clock.advance(5 * MINUTE);
  assert.equal(at.attempts, 2);
  assert.equal(scheduler.state.tickets.size, 0);
  assert.deepEqual(at.notices, []);
  assert.equal(at.emitted.filter(({ name }) => name === "scheduler.clock-set-back").length, 1);
});

test("after a clock that was ahead for longer than mail is kept, what comes then is kept as long as ever", async () => {
  const at = scene();
  const { clock, scheduler } = at;
  at.aheadMs = 240 * HOUR;
  await at.send({ to: ["first@a.example"] });
  await clock.advance(MINUTE);
  at.aheadMs = 0;
  await at.send({ to: ["second@a.example"] });
  await clock.advance(HOUR);
  assert.deepEqual(at.notices, []);
  assert.equal(scheduler.state.tickets.size, 2);
});

test("a clock that is corrected by a few seconds changes no wait by more than that", async () => {
  const at = scene();
  const { clock } = at;
  await at.send({ to: ["u@a.example"] });
  await clock.advance(MINUTE);
  at.aheadMs = -5000;
  await clock.advance(8 * MINUTE);
  assert.equal(at.attempts, 1);
  await clock.advance(3 * MINUTE);
  assert.equal(at.attempts, 2);
  assert.ok(!at.emitted.some(({ name }) => name === "scheduler.clock-set-back"));
});

test("a rest of a route, and FUTURERELEASE, hold as long as they should when the clock was ahead in between", async () => {
  const at = scene();
  const { clock, world } = at;
  world.setDomain("a.example", []);
  at.aheadMs = 60 * HOUR;
  await at.send({ to: ["u@a.example"] });
  await clock.advance(MINUTE);
  at.aheadMs = 0;
  await at.send({ to: ["v@b.example"], envelope: { notBeforeAt: NOON + 5 * HOUR } });
  world.setDomain("b.example", [{ name: "mx", ip: "192.0.2.2", connectMs: 0, transactMs: 0 }]);
  await clock.advance(4 * HOUR);
  const sent = (): number =>
    at.lines.filter((line) => line.includes("<v@b.example>") && line.includes("status=sent")).length;
  assert.equal(sent(), 0);
  await clock.advance(2 * HOUR);
  assert.equal(sent(), 1);
});

test("what is read from the disk with times of a clock that was ahead is due after its wait from now on", async () => {
  const store = memoryStore();
  {
    const before = scene(store, 60 * HOUR);
    // One was tried, one was not.
    await before.send({ to: ["tried@a.example"] });
    await before.clock.advance(MINUTE);
    before.world.setDomain("a.example", []);
    await before.send({ to: ["untried@a.example"] });
    await before.scheduler[Symbol.asyncDispose]();
  }
  const after = scene(store);
  after.isFull = false;
  after.scheduler.start();
  await after.clock.advance(30 * MINUTE);
  assert.equal(after.scheduler.state.tickets.size, 0, after.lines.join("\n"));
  assert.deepEqual(after.notices, []);
});
