import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable } from "../../../simulator/deliveries.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../../testing/scheduler-invariants.ts";
import { limited } from "../../route/limited.ts";
import { forgetUnused } from "../forgetting.ts";

/** Ten domains whose hosts answer nothing for half a minute, and one that is well. */
function world(limits: Record<string, number>): SimulatedScheduling {
  const simulation = simulatedScheduling({ route: { limits } });
  for (let n = 0; n < 10; n++) {
    const ip = `192.0.2.${n}`;
    simulation.world.setDomain(`gone${n}.example`, [
      { name: `gone${n}`, ip, connectMs: 30_000, onConnect: () => unreachable(ip) },
    ]);
  }
  simulation.world.setDomain("well.example", [{ name: "well", ip: "192.0.2.100", connectMs: 10 }]);
  return simulation;
}

async function sendToAll(simulation: SimulatedScheduling): Promise<void> {
  for (let n = 0; n < 10; n++) await simulation.send({ to: [`a@gone${n}.example`] });
  await simulation.clock.advance(10);
}

test("connections that hang give their places to mail for hosts that are well", async () => {
  const simulation = world({ total: 5, source: 5, hanging: 20 });
  await sendToAll(simulation);
  await simulation.send({ to: ["a@well.example"] });
  await simulation.clock.advance(2900);
  assert.equal(simulation.world.delivered.size, 0, "all places are taken");
  // Five give their places back, the next five take them, and after them it is the mail's turn.
  await simulation.clock.advance(3200);
  assert.equal(simulation.world.delivered.size, 1);
  const { state } = simulation.scheduler;
  assert.equal(state.hanging.used, 10);
  assert.equal(state.total.used <= 1, true);
  assertSchedulerInvariants(state);
  await simulation.clock.advance(60_000);
  assert.equal(state.hanging.used, 0, "their deadline ends that");
});

test("no more hang than may: the others keep the places they have", async () => {
  const simulation = world({ total: 5, source: 5, hanging: 2 });
  await sendToAll(simulation);
  for (let seconds = 0; seconds < 90; seconds++) {
    await simulation.clock.advance(1000);
    const { state } = simulation.scheduler;
    assertSchedulerInvariants(state);
    assert.ok(state.hanging.used <= 2 && state.total.used <= 5);
    assert.ok((simulation.world.connections.get("all")?.now ?? 0) <= 7, "both limits together");
  }
});

test("a connection that is made late goes back where there is room", async () => {
  const simulation = world({ total: 5, source: 5, hanging: 5 });
  simulation.world.setDomain("late.example", [{ name: "late", ip: "192.0.2.101", connectMs: 8000, transactMs: 5000 }]);
  await simulation.send({ to: ["a@late.example"] });
  await simulation.clock.advance(5000);
  const { state } = simulation.scheduler;
  assert.deepEqual([state.hanging.used, state.total.used], [1, 0]);
  await simulation.clock.advance(5000);
  assert.deepEqual([state.hanging.used, state.total.used], [0, 1], "it is busy, and counted with the others");
  await simulation.clock.advance(60_000);
  assert.equal(simulation.world.delivered.size, 1);
  assert.deepEqual([state.hanging.used, state.total.used], [0, 0]);
});

test("the limit of our address is not forgotten while all that counts in it hangs", () => {
  const s = simulatedScheduling().scheduler.state;
  const ours = limited(1);
  s.sources.set("*", ours);
  for (let n = 0; n < 1000; n++) s.hosts.set(`192.0.2.${n}`, limited(1));
  s.hanging.used = 1;
  forgetUnused(s);
  assert.equal(s.hosts.size, 0);
  assert.equal(s.sources.get("*"), ours, "a connection that is made after all goes back to it");
  s.hanging.used = 0;
  for (let n = 0; n < 1003; n++) s.hosts.set(`192.0.2.${n}`, limited(1));
  forgetUnused(s);
  assert.equal(s.sources.size, 0);
});
