import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { NOON, simulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const host = (ip: string, more: Partial<SimulatedHost> = {}): SimulatedHost => ({ name: `mx-${ip}`, ip, ...more });
/** Long waits, so that nothing but a recovery brings mail back early. */
const LONG = { retry: { spread: 0, relay: { by: "list", waits: ["12h"] } }, warnAfter: "0s" } as const;
const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};

test("when a domain's host is back, all that failed with it is delivered at once, not when each is due", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG });
  const { clock, world, scheduler } = simulation;
  let isUp = false;
  world.setDomain("a.example", [host("192.0.2.1", { onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")) })]);
  for (let n = 0; n < 300; n++) await simulation.send({ to: [`u${n}@a.example`] });
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 0);
  assertSchedulerInvariants(scheduler.state);
  isUp = true;
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 0, "nobody has asked yet");
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(2 * MINUTE);
  assert.equal(world.delivered.size, 301);
  assert.equal(scheduler.state.stalled.size, 0);
  assertSchedulerInvariants(scheduler.state);
});

test("who waited for a host before a restart is awake when it is back after it; who had its own wait keeps that", async () => {
  for (const to of [undefined, "smtp://smart.example"]) {
    const actions = to === undefined ? {} : { actions: { relay: { kind: "relay", to: [to], backup: false } as const } };
    const hostOf = (isUp: boolean): SimulatedHost =>
      host("192.0.2.1", {
        onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")),
        onEnvelope: (_id, recipient) => (recipient.startsWith("full") ? full : undefined),
      });
    const first = simulatedScheduling({ scheduler: LONG, ...actions });
    for (const domain of ["a.example", "smart.example"]) first.world.setDomain(domain, [hostOf(true)]);
    await first.send({ to: ["full@a.example"] });
    await first.clock.advance(MINUTE);
    for (const domain of ["a.example", "smart.example"]) first.world.setDomain(domain, [hostOf(false)]);
    for (let n = 0; n < 300; n++) await first.send({ to: [`u${n}@a.example`] });
    await first.clock.advance(HOUR);
    await first.scheduler.stop(0);

    const { store, clock } = first;
    const second = simulatedScheduling({ scheduler: LONG, ...actions, store, clock });
    for (const domain of ["a.example", "smart.example"]) second.world.setDomain(domain, [hostOf(false)]);
    second.scheduler.start();
    await clock.advance(MINUTE);
    assertSchedulerInvariants(second.scheduler.state);
    await second.send({ to: ["early@a.example"] });
    await clock.advance(HOUR);
    const attempts = [...second.scheduler.state.tickets.values()].map((ticket) => ticket.attempts);
    assert.ok(Math.max(...attempts) === 1, "a lookup that works wakes nobody while the host is away");
    for (const domain of ["a.example", "smart.example"]) second.world.setDomain(domain, [hostOf(true)]);
    await second.send({ to: ["new@a.example"] });
    await clock.advance(5 * MINUTE);
    assert.equal(second.world.delivered.size, 302);
    const left = [...second.scheduler.state.tickets.values()];
    assert.deepEqual(
      left.map(({ recipient, attempts: tried }) => [recipient, tried]),
      [["full@a.example", 1]],
    );
    assert.equal(second.scheduler.state.stalled.size, 0);
    assertSchedulerInvariants(second.scheduler.state);
  }
});

test("what the host itself deferred one by one waits for its own time", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG, route: { greylisting: { strategy: "none" } } });
  const { clock, world } = simulation;
  let isUp = true;
  world.setDomain("a.example", [
    host("192.0.2.1", {
      onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")),
      onEnvelope: (_id, recipient) => (recipient.startsWith("full") ? full : undefined),
    }),
  ]);
  await simulation.send({ to: ["full@a.example"] });
  await clock.advance(MINUTE);
  isUp = false;
  await simulation.send({ to: ["down@a.example"] });
  await clock.advance(MINUTE);
  isUp = true;
  await clock.advance(2 * MINUTE);
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(5 * MINUTE);
  const left = await simulation.store.list({});
  assert.deepEqual(
    left.map((row) => [row.recipient, row.attempts]),
    [["full@a.example", 1]],
  );
});

test("a host that works once and fails again has only some of them tried again, not all", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG, route: { limits: { mailsPerSession: 1 } } });
  const { clock, world } = simulation;
  let connects = 0;
  // The second connection works, and no other.
  world.setDomain("a.example", [
    host("192.0.2.1", { onConnect: () => (++connects === 2 ? undefined : unreachable("192.0.2.1")) }),
  ]);
  for (let n = 0; n < 2000; n++) await simulation.send({ to: [`u${n}@a.example`] });
  await clock.advance(MINUTE);
  assert.equal(connects, 1);
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(5 * MINUTE);
  const again = (await simulation.store.list({})).filter((row) => row.attempts > 1).length;
  assert.ok(again > 0 && again <= 200, `${again} tried again`);
});

test("a domain whose exchangers could not be looked up is awake when they are found", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG });
  const { clock, world } = simulation;
  const finding = { kind: "timeout", name: "a.example", type: "MX", text: "no answer" } as never;
  world.setDomain("a.example", { lasting: "temporary", status: "4.4.3", cause: { kind: "dns", finding } });
  for (let n = 0; n < 20; n++) await simulation.send({ to: [`u${n}@a.example`] });
  await clock.advance(HOUR);
  world.setDomain("a.example", [host("192.0.2.1")]);
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 0);
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(MINUTE);
  assert.equal(world.delivered.size, 21);
});

test("the sender's own times hold for what is awake early: nothing before FUTURERELEASE, nothing after DELIVERBY", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG });
  const { clock, world } = simulation;
  let isUp = false;
  world.setDomain("a.example", [host("192.0.2.1", { onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")) })]);
  await simulation.send({ to: ["later@a.example"], envelope: { notBeforeAt: NOON + 5 * HOUR } });
  const deliverBy = { at: NOON + 2 * HOUR, mode: "return", trace: false } as const;
  await simulation.send({ to: ["by@a.example"], message: { deliverBy } });
  await simulation.send({ to: ["plain@a.example"] });
  await clock.advance(3 * HOUR);
  isUp = true;
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(MINUTE);
  const left = async (): Promise<readonly string[]> => (await simulation.store.list({})).map((row) => row.recipient);
  assert.deepEqual(await left(), ["later@a.example"]);
  assert.deepEqual(
    simulation.notices.map(({ kind, about }) => [kind, about[0]?.failure?.cause.kind]),
    [["bounce", "deliver-by"]],
  );
  await clock.advance(3 * HOUR);
  assert.deepEqual(await left(), []);
  // Two mails and a bounce before.
  assert.equal(world.delivered.size, 4);
});

test("ETRN: a domain's mail is due at once, whatever it waited for, with the rests of its hosts; again within seconds costs nothing", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG });
  const { clock, world, scheduler } = simulation;
  let isUp = false;
  const down = (ip: string): SimulatedHost => host(ip, { onConnect: () => (isUp ? undefined : unreachable(ip)) });
  world.setDomain("a.example", [down("192.0.2.1")]);
  world.setDomain("sub.a.example", [down("192.0.2.2")]);
  world.setDomain("xa.example", [down("192.0.2.3")]);
  for (const domain of ["a.example", "sub.a.example", "xa.example"]) await simulation.send({ to: [`u@${domain}`] });
  await clock.advance(10 * SECOND);
  isUp = true;
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: false }), {
    kind: "woken",
    envelopes: 1,
  });
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: false }), { kind: "woken" });
  await clock.advance(SECOND);
  assert.equal(world.delivered.size, 1);
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: true }), {
    kind: "woken",
    envelopes: 1,
  });
  await clock.advance(SECOND);
  assert.equal(world.delivered.size, 2);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.recipient),
    ["u@xa.example"],
  );
  await clock.advance(10 * SECOND);
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: false }), {
    kind: "woken",
    envelopes: 0,
  });
});

test("a smarthost that refuses our login is not tried again for all that waits whenever a mail comes", async () => {
  const relay = { kind: "relay", to: ["smtp://smart.example"], backup: false } as const;
  const simulation = simulatedScheduling({ scheduler: LONG, actions: { relay } });
  const { clock, world, scheduler } = simulation;
  const refused: Failure = {
    lasting: "temporary",
    status: "4.7.8",
    cause: { kind: "auth", reason: "refused", text: "the login was refused" },
    reply: reply(454, "4.7.0", "Temporary authentication failure"),
  };
  let isWelcome = false;
  world.setDomain("smart.example", [
    host("192.0.2.1", { failureScope: "relay", onConnect: () => (isWelcome ? undefined : refused) }),
  ]);
  for (let n = 0; n < 50; n++) await simulation.send({ to: [`u${n}@a.example`] });
  await clock.advance(MINUTE);
  for (let n = 0; n < 10; n++) {
    await simulation.send({ to: [`later${n}@a.example`] });
    await clock.advance(20 * MINUTE);
  }
  const attempts = [...scheduler.state.tickets.values()].map((ticket) => ticket.attempts);
  assert.ok(Math.max(...attempts) <= 1, `${Math.max(...attempts)} attempts`);
  isWelcome = true;
  await clock.advance(HOUR);
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(2 * MINUTE);
  assert.equal(world.delivered.size, 61);
});

test("what an operator has scheduled for later is not woken when its host is back, be it after a restart", async () => {
  const simulation = simulatedScheduling({ scheduler: LONG });
  const { clock, world, scheduler, store } = simulation;
  let isUp = false;
  world.setDomain("a.example", [host("192.0.2.1", { onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")) })]);
  const id = await simulation.send({ to: ["late@a.example"] });
  await clock.advance(HOUR);
  await scheduler.command({ do: "schedule", selector: { by: "message", id }, at: NOON + 6 * HOUR });
  isUp = true;
  await simulation.send({ to: ["new@a.example"] });
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 1);
  assertSchedulerInvariants(scheduler.state);
  await scheduler.stop(0);

  const next = simulatedScheduling({ scheduler: LONG, store, clock });
  next.world.setDomain("a.example", [host("192.0.2.1")]);
  next.scheduler.start();
  await next.send({ to: ["new@a.example"] });
  await clock.advance(HOUR);
  assert.equal(next.world.delivered.size, 1);
  await clock.advance(5 * HOUR);
  assert.equal(next.world.delivered.size, 2);
  assertSchedulerInvariants(next.scheduler.state);
});
