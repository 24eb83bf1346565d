import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable } from "../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { coreSettings, simulatedScheduling } from "../../simulator/scheduling.ts";
import { failureText } from "../envelope/failure-text.ts";
import type { Action } from "../envelope/action-settings.ts";
import { hindrancesOf } from "./admin/hindrances.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 3_600_000;
/** Long waits, so that nothing but other settings brings mail back early. */
const LONG = {
  scheduler: { retry: { spread: 0, internal: "1h", relay: { by: "list", waits: ["12h"] } }, warnAfter: "0s" },
} as const;

const deliver: Action = { kind: "deliver", as: "maildir" };
const relayTo = (...to: readonly string[]): Action => ({ kind: "relay", to: [...to], backup: false });

test("mail for an action that settings add a moment later is delivered at once, and was not tried before", async () => {
  for (const waitMs of [0, 1, SECOND]) {
    const simulation = simulatedScheduling(LONG);
    const { clock, world, scheduler } = simulation;
    const id = await simulation.send({ to: ["joe@mail.example"], action: "fresh" });
    // Before it is written that there is no such action, while it is, and after.
    await clock.advance(waitMs);
    scheduler.reload(coreSettings({ ...LONG, actions: { fresh: deliver } }));
    await clock.advance(SECOND);
    assert.equal(world.delivered.get(`${id}.1`), 1, `after ${waitMs} ms`);
    assertSchedulerInvariants(scheduler.state);
  }
});

test("what waits for its settings says so, has no attempt counted, and asks again once in an hour", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 }, warnAfter: "0s" } });
  const { clock, scheduler, store } = simulation;
  const id = await simulation.send({ to: ["joe@mail.example"], action: "fresh" });
  await clock.advance(24 * HOUR);
  const [row] = await store.list({});
  assert.equal(row?.attempts, 0);
  const ticket = scheduler.state.tickets.get(`${id}.1`);
  assert.ok(ticket !== undefined && row.lastFailure !== undefined);
  assert.match(failureText(row.lastFailure), /there is no action "fresh"/);
  const [first] = hindrancesOf(scheduler.state, ticket, row.lastFailure);
  assert.match(
    first?.text ?? "",
    /the settings are in its way, and others free it at once.*there is no action "fresh"/,
  );
  const told = simulation.lines.filter((line) => line.includes("status=deferred")).length;
  assert.ok(told >= 24 && told < 40, `${told}`);
});

test("other settings free hundreds that an unusable action, a missing source or a wrong smarthost kept for hours", async () => {
  for (const [what, before, more] of [
    ["unusable", relayTo("quue://mx.example"), {}],
    ["no source", relayTo(), { route: { sources: ["2001:db8::1"] } }],
    ["wrong smarthost", relayTo("smtp://wrong.example"), {}],
  ] as const) {
    const simulation = simulatedScheduling({ ...LONG, ...more, actions: { out: before } });
    const { clock, world, scheduler } = simulation;
    const down = { name: "wrong.example", ip: "192.0.2.9", onConnect: () => unreachable("192.0.2.9") };
    world.setDomain("wrong.example", [down]);
    for (const domain of ["example.org", "right.example"])
      world.setDomain(domain, [{ name: "mx.example", ip: "192.0.2.1" }]);
    for (let n = 0; n < 300; n++) await simulation.send({ to: [`user${n}@example.org`], action: "out" });
    await clock.advance(3 * HOUR);
    assert.equal(world.delivered.size, 0);
    assertSchedulerInvariants(scheduler.state);
    scheduler.reload(coreSettings({ ...LONG, actions: { out: relayTo("smtp://right.example") } }));
    await clock.advance(120 * SECOND);
    assert.equal(world.delivered.size, 300, what);
    assert.equal(scheduler.state.stalled.size, 0);
    assertSchedulerInvariants(scheduler.state);
  }
});

test("a reload that changes nothing about their way wakes nobody whose host is away", async () => {
  const actions = { out: relayTo("smtp://down.example") };
  const simulation = simulatedScheduling({ ...LONG, actions });
  const { clock, world, scheduler } = simulation;
  const down = { name: "down.example", ip: "192.0.2.9", onConnect: () => unreachable("192.0.2.9") };
  world.setDomain("down.example", [down]);
  await simulation.send({ to: ["user@example.org"], action: "out" });
  await clock.advance(HOUR);
  const connects = (): number => world.happenings.filter((one) => one.what === "connect").length;
  const before = connects();
  scheduler.reload(coreSettings({ ...LONG, actions: { ...actions, deliver } }));
  await clock.advance(HOUR);
  assert.equal(connects(), before);
  assertSchedulerInvariants(scheduler.state);
});

test("settings that were mended before a start free what they kept; what an operator has scheduled stays so", async () => {
  const first = simulatedScheduling(LONG);
  const id = await first.send({ to: ["joe@mail.example"], action: "fresh" });
  const later = await first.send({ to: ["joe@mail.example"], action: "fresh" });
  await first.clock.advance(SECOND);
  const { store, clock } = first;
  const command = { do: "schedule", selector: { by: "message", id: later }, at: clock.now() + 5 * HOUR } as const;
  assert.equal((await first.scheduler.command(command)).envelopes, 1);
  await first.scheduler.stop(0);
  const second = simulatedScheduling({ ...LONG, actions: { fresh: deliver }, store, clock });
  second.scheduler.start();
  await clock.advance(10 * SECOND);
  assert.deepEqual([...second.world.delivered.keys()], [`${id}.1`]);
  await clock.advance(5 * HOUR);
  assert.equal(second.world.delivered.size, 2);
});

test("other settings do not send FUTURERELEASE mail early, whether it is waiting, released or read at a start", async () => {
  for (const how of ["waits", "released", "restarted"] as const) {
    const first = simulatedScheduling(LONG);
    const { clock, store, scheduler } = first;
    const sendAt = clock.now() + 5 * HOUR;
    const id = await first.send({ to: ["joe@mail.example"], action: "fresh", envelope: { notBeforeAt: sendAt } });
    await clock.advance(SECOND);
    const selector = { by: "message", id } as const;
    await scheduler.command({ do: "retryNow", selector });
    await clock.advance(SECOND);
    if (how === "released") {
      await scheduler.command({ do: "hold", selector, because: "a look" });
      await scheduler.command({ do: "release", selector });
    }
    let last = first;
    if (how === "restarted") {
      await scheduler.stop(0);
      last = simulatedScheduling({ ...LONG, actions: { fresh: deliver }, store, clock });
      last.scheduler.start();
    } else scheduler.reload(coreSettings({ ...LONG, actions: { fresh: deliver } }));
    await clock.advance(MINUTE);
    assert.equal(last.world.delivered.size, 0, how);
    // What failed meanwhile is asked again in an hour, as an operator wanted it tried; let go, it has its sender's time.
    await clock.advance(how === "released" ? 4.9 * HOUR : 0);
    assert.equal(last.world.delivered.size, 0, how);
    await clock.advance(5 * HOUR);
    assert.equal(last.world.delivered.get(`${id}.1`), 1, how);
    assertSchedulerInvariants(last.scheduler.state);
  }
});

test("what began under the settings that a reload mends, and fails by them, is tried at once under the new ones", async () => {
  const more = { scheduler: { retry: { spread: 0, local: { by: "list", waits: ["6h"] } } } } as const;
  const simulation = simulatedScheduling(more);
  const { clock, world, scheduler } = simulation;
  let failures = 0;
  let failing = 1;
  world.localMs = 10 * SECOND;
  world.onLocal = () => {
    if (failures >= failing) return undefined;
    failures++;
    return { lasting: "temporary", status: "4.3.5", cause: { kind: "settings", text: "no such folder" } };
  };
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await clock.advance(SECOND);
  scheduler.reload(coreSettings(more));
  await clock.advance(MINUTE);
  assert.equal(failures, 1);
  assert.equal(scheduler.state.tickets.size, 0);
  // What began under the settings in force waits for others.
  failing = 2;
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await clock.advance(HOUR);
  assert.equal(failures, 2);
  assert.equal(scheduler.state.tickets.size, 1);
  scheduler.reload(coreSettings(more));
  await clock.advance(MINUTE);
  assert.equal(scheduler.state.tickets.size, 0);
  assertSchedulerInvariants(scheduler.state);
});

test("hosts that were looked up by earlier settings are none for a relay of the same name in those that came meanwhile", async () => {
  const simulation = simulatedScheduling(LONG);
  const { clock, world, scheduler } = simulation;
  const taken: string[] = [];
  const [earlier = "", later = ""] = ["192.0.2.1", "192.0.2.2"].map((ip) => {
    const name = `mx-at-${ip}.example`;
    world.setDomain(name, [{ name, ip, onEnvelope: () => void taken.push(ip) }]);
    return name;
  });
  const asked: PromiseWithResolvers<string>[] = [];
  const resolve = world.network.resolve.bind(world.network);
  world.network.resolve = async (request) => {
    const found = Promise.withResolvers<string>();
    asked.push(found);
    return resolve({ ...request, target: { kind: "domain", domain: await found.promise } });
  };
  await simulation.send({ to: ["joe@mail.example"] });
  await clock.advance(SECOND);
  scheduler.reload(coreSettings(LONG));
  await clock.advance(SECOND);
  assert.equal(asked.length, 2);
  asked[0]?.resolve(earlier);
  await clock.advance(SECOND);
  assert.deepEqual(taken, []);
  asked[1]?.resolve(later);
  await clock.advance(SECOND);
  assert.deepEqual(taken, ["192.0.2.2"]);
  assertSchedulerInvariants(scheduler.state);
});
