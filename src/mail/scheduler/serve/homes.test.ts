import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable, type SimulatedHost } from "../../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

const provider = (more: Partial<SimulatedHost> = {}): readonly SimulatedHost[] => [
  { name: "mx1.provider.example", ip: "192.0.2.1", preference: 10, ...more },
  { name: "mx2.provider.example", ip: "192.0.2.2", preference: 20, ...more },
];
const host = (n: number, more: Partial<SimulatedHost> = {}): SimulatedHost => ({
  name: `mx${n}.example`,
  ip: `198.51.100.${n}`,
  ...more,
});

function customers(simulation: SimulatedScheduling, count: number, hosts: readonly SimulatedHost[]): readonly string[] {
  const domains = Array.from({ length: count }, (_, n) => `customer${n}.example`);
  for (const domain of domains) simulation.world.setDomain(domain, hosts);
  return domains;
}

function connects(simulation: SimulatedScheduling): number {
  return simulation.world.happenings.filter(({ what }) => what === "connect").length;
}

test("two hundred domains with the same mail exchangers are one relay: they share sessions and their slow start", async () => {
  const simulation = simulatedScheduling();
  const { clock, world, scheduler } = simulation;
  for (const domain of customers(simulation, 200, provider())) await simulation.send({ to: [`u@${domain}`] });
  await clock.advance(SECOND);
  assertSchedulerInvariants(scheduler.state);
  await clock.advance(MINUTE);
  assert.equal(world.delivered.size, 200);
  // Without sharing there would be two hundred, one each.
  assert.ok(connects(simulation) <= 5, `${connects(simulation)} connections`);
});

test("the same exchangers at other preferences are another relay", async () => {
  const simulation = simulatedScheduling();
  const [first, second] = provider();
  assert.ok(first !== undefined && second !== undefined);
  simulation.world.setDomain("a.example", [first, second]);
  simulation.world.setDomain("b.example", [
    { ...first, preference: 20 },
    { ...second, preference: 10 },
  ]);
  await simulation.send({ to: ["u@a.example"] });
  await simulation.send({ to: ["u@b.example"] });
  await simulation.clock.advance(2 * SECOND);
  assert.equal(connects(simulation), 2);
});

test("a domain with a TLS policy of its own has sessions of its own", async () => {
  const simulation = simulatedScheduling();
  const [first] = customers(simulation, 3, provider());
  simulation.world.unshared.add(first ?? "");
  for (let n = 0; n < 3; n++) await simulation.send({ to: [`u@customer${n}.example`] });
  await simulation.clock.advance(2 * SECOND);
  const domainsOf = new Map<string, Set<string>>();
  for (const { id, domain } of simulation.scheduler.state.sessions.values())
    domainsOf.set(id, new Set([...(domainsOf.get(id) ?? []), domain]));
  assert.equal(domainsOf.size, 2, "one session for two of them, one for the third");
  assert.deepEqual(
    [...domainsOf.values()].filter((domains) => domains.has(first ?? "")).map((domains) => [...domains]),
    [[first]],
  );
});

test("one connection's failure is the failure of all domains there: one round, and each has had its attempt", async () => {
  const simulation = simulatedScheduling();
  const down = provider({ onConnect: () => unreachable("192.0.2.1") });
  for (const domain of customers(simulation, 50, down)) await simulation.send({ to: [`u@${domain}`] });
  await simulation.clock.advance(30 * SECOND);
  const attempts = await simulation.store.list({});
  assert.ok(attempts.every((row) => row.attempts === 1));
  assert.ok(connects(simulation) <= 4, `${connects(simulation)} connections`);
});

test("the limit of a domain holds for each domain by itself, and a full one does not hold up the others", async () => {
  const simulation = simulatedScheduling({ route: { limits: { domain: 1, route: 8, host: 8 } } });
  const { world, clock, scheduler } = simulation;
  const slow = provider({ transactMs: 10 * SECOND });
  customers(simulation, 4, slow);
  for (let n = 0; n < 60; n++) await simulation.send({ to: ["u@customer0.example"] });
  for (let n = 1; n < 4; n++) await simulation.send({ to: [`u@customer${n}.example`] });
  let mostAtOnce = 0;
  for (let n = 0; n < 120; n++) {
    await clock.advance(SECOND);
    assertSchedulerInvariants(scheduler.state);
    const busy = [...scheduler.state.sessions.values()].filter(
      ({ phase, domain }) => phase === "busy" && domain === "customer0.example",
    );
    mostAtOnce = Math.max(mostAtOnce, busy.length);
  }
  assert.equal(mostAtOnce, 1);
  assert.ok(world.delivered.size > 3);
  const left = await simulation.store.list({});
  assert.ok(
    left.every((row) => row.recipient === "u@customer0.example"),
    "the others are through",
  );
});

test("when a domain's mail exchangers change its mail leaves for the new ones; the other domains stay", async () => {
  const simulation = simulatedScheduling({
    scheduler: { retry: { relay: { by: "list", waits: ["10m"] }, spread: 0 } },
  });
  const { clock, world } = simulation;
  const down = provider({ onConnect: () => unreachable("192.0.2.1") });
  customers(simulation, 2, down);
  await simulation.send({ to: ["u@customer0.example"] });
  await simulation.send({ to: ["u@customer1.example"] });
  await clock.advance(MINUTE);
  world.setDomain("customer0.example", [host(7)]);
  await clock.advance(20 * MINUTE);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.recipient),
    ["u@customer1.example"],
  );
});

test("what is ready at the old exchangers when the answer changes moves with its domain", async () => {
  const simulation = simulatedScheduling({ route: { limits: { total: 1, mailsPerSession: 2 } } });
  const { clock, world, scheduler } = simulation;
  const slow = provider({ transactMs: 20 * SECOND });
  customers(simulation, 2, slow);
  for (let n = 0; n < 12; n++) await simulation.send({ to: [`u@customer${n % 2}.example`] });
  await clock.advance(30 * SECOND);
  world.setDomain("customer0.example", [host(7)]);
  for (let n = 0; n < 400; n++) {
    await clock.advance(SECOND);
    assertSchedulerInvariants(scheduler.state);
  }
  assert.equal(world.delivered.size, 12);
  assert.ok(world.happenings.some(({ what, where }) => what === "transact" && where === "198.51.100.7"));
});

test("a lookup that fails for one domain defers that domain only", async () => {
  const simulation = simulatedScheduling({ route: { limits: { total: 1, mailsPerSession: 1 } } });
  const { clock, world } = simulation;
  const slow = provider({ transactMs: 40 * SECOND });
  customers(simulation, 3, slow);
  for (let n = 0; n < 9; n++) await simulation.send({ to: [`u@customer${n % 3}.example`] });
  await clock.advance(10 * SECOND);
  const finding = { kind: "timeout", name: "customer0.example", type: "MX", text: "no answer" } as never;
  world.setDomain("customer0.example", { lasting: "temporary", status: "4.4.3", cause: { kind: "dns", finding } });
  await clock.advance(8 * MINUTE);
  const left = await simulation.store.list({});
  assert.deepEqual(new Set(left.map((row) => row.recipient)), new Set(["u@customer0.example"]));
});
