import assert from "node:assert/strict";
import { test } from "node:test";
import type { SimulatedHost } from "../../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { memoryStore } from "../../queue/memory-store.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** One connection, a mail a second: who goes first is seen in the order of delivery. */
function narrow(store = memoryStore()): SimulatedScheduling {
  const simulation = simulatedScheduling({ store, route: { limits: { total: 1, mailsPerSession: 1000 } } });
  const host: SimulatedHost = { name: "mx", ip: "192.0.2.1", transactMs: SECOND };
  simulation.world.setDomain("a.example", [host]);
  return simulation;
}

async function sendMany(simulation: SimulatedScheduling, count: number, priority: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const from = `sender${n}@here.example`;
    ids.push(`${await simulation.send({ from, to: ["u@a.example"], message: { priority } })}.1`);
  }
  return ids;
}

test("urgent mail goes before what waits already, what may wait goes last, and nobody waits for ever", async () => {
  const simulation = narrow();
  const { clock, world, scheduler } = simulation;
  scheduler.pause("out", "to have it there");
  const low = await sendMany(simulation, 40, -3);
  const plain = await sendMany(simulation, 40, 0);
  const urgent = await sendMany(simulation, 40, 4);
  await clock.advance(SECOND);
  assertSchedulerInvariants(scheduler.state);
  scheduler.resume("out");
  await clock.advance(5 * MINUTE);
  const order = [...world.delivered.keys()];
  assert.equal(order.length, 120);
  const among = (ids: readonly string[], first: number): number =>
    order.slice(0, first).filter((id) => ids.includes(id)).length;
  assert.ok(among(urgent, 50) >= 34, `${among(urgent, 50)} urgent ones among the first 50`);
  assert.ok(among(plain, 50) >= 8, `${among(plain, 50)} plain ones among the first 50`);
  assert.ok(among(low, 50) >= 2 && among(low, 50) <= 5, `${among(low, 50)} low ones among the first 50`);
  // Of its own kind each is served in its turn.
  assert.deepEqual(
    order.filter((id) => urgent.includes(id)),
    urgent,
  );
  assertSchedulerInvariants(scheduler.state);
});

test("mail without a priority is served as ever, and one list with a priority does not hold it up", async () => {
  const simulation = narrow();
  const { clock, world, scheduler } = simulation;
  scheduler.pause("out", "to have it there");
  const to = Array.from({ length: 2000 }, (_, n) => `u${n}@a.example`);
  await simulation.send({ to, message: { priority: 9 } });
  const [single = ""] = await sendMany(simulation, 1, 0);
  await clock.advance(SECOND);
  scheduler.resume("out");
  await clock.advance(8 * SECOND);
  assert.ok(world.delivered.has(single));
});

test("a priority is kept over a restart", async () => {
  const store = memoryStore();
  const first = narrow(store);
  first.scheduler.pause("out", "to have it there");
  const plain = await sendMany(first, 10, 0);
  const [urgent = ""] = await sendMany(first, 1, 2);
  await first.clock.advance(SECOND);
  await first.scheduler.stop(0);
  const { clock, world, scheduler } = narrow(store);
  scheduler.pause("out", "to have it there");
  scheduler.start();
  await clock.advance(SECOND);
  scheduler.resume("out");
  await clock.advance(MINUTE);
  const order = [...world.delivered.keys()];
  assert.equal(order.length, 11);
  assert.ok(order.indexOf(urgent) <= 1, `${order.indexOf(urgent)}`);
  assert.ok(order.includes(plain[9] ?? ""));
});
