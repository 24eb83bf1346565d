import assert from "node:assert/strict";
import { test } from "node:test";
import { createSchedulerAdmin } from "../admin/admin.io.ts";
import { reply } from "../../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";
import { memoryStore } from "../../queue/memory-store.ts";
import { hindrancesOf } from "../admin/hindrances.ts";
import { suspensionKey, type SuspensionLevel } from "./suspension.ts";
import { suspensionsOn } from "./suspensions.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const host = (ip: string, more: Partial<SimulatedHost> = {}): SimulatedHost => ({ name: `mx-${ip}`, ip, ...more });
const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};

function suspend(
  { scheduler, clock }: SimulatedScheduling,
  level: SuspensionLevel,
  key: string,
  forMs?: number,
): Promise<number> {
  const untilAt = forMs === undefined ? undefined : clock.now() + forMs;
  const facts = {
    level,
    key: suspensionKey(level, key),
    because: "an incident",
    by: "ann",
    setAt: clock.now(),
    untilAt,
  };
  return scheduler.suspend(facts);
}

/** Two domains with a host each, and one mail to each. */
async function two(options: Parameters<typeof simulatedScheduling>[0] = {}) {
  const simulation = simulatedScheduling(options);
  simulation.world.setDomain("a.example", [host("192.0.2.1")]);
  simulation.world.setDomain("b.example", [host("192.0.2.2")]);
  const send = async (): Promise<readonly [string, string]> => [
    await simulation.send({ from: "joe@here.example", to: ["u@a.example"], message: { tenant: "acme" } }),
    await simulation.send({ from: "ann@there.example", to: ["u@b.example"] }),
  ];
  return { simulation, send };
}

test("each level holds what is under it, lets everything else go, and lets go what it held when it is lifted", async () => {
  const levels: readonly (readonly [SuspensionLevel, string])[] = [
    ["sender", "Joe@Here.example"],
    ["sender", "@here.EXAMPLE"],
    ["domain", "A.example"],
    ["relay", "mx-192.0.2.1"],
    ["relay", "a.example"],
    ["host", "192.0.2.1"],
    ["host", "MX-192.0.2.1"],
    ["host", "mx-192.0.2.1[192.0.2.1]:25"],
    ["route", "* > mx-192.0.2.1[192.0.2.1]:25"],
    ["tenant", "acme"],
  ];
  for (const [level, key] of levels) {
    const { simulation, send } = await two();
    const { world, clock, scheduler } = simulation;
    await suspend(simulation, level, key);
    const [held, free] = await send();
    await clock.advance(2 * HOUR);
    assert.deepEqual([...world.delivered.keys()], [`${free}.1`], `${level} ${key}`);
    assert.equal(world.happenings.filter(({ where, what }) => what === "connect" && where === "192.0.2.1").length, 0);
    assert.equal(scheduler.state.counts.held, 1);
    assertSchedulerInvariants(scheduler.state);
    assert.equal(await scheduler.unsuspend(level, suspensionKey(level, key), "ann"), 1);
    await clock.advance(SECOND);
    assert.deepEqual([...world.delivered.keys()], [`${free}.1`, `${held}.1`], `${level} ${key} lifted`);
  }
});

test("a domain may be written as people read it, and an address as a log line has it", async () => {
  for (const [level, key] of [
    ["domain", "B\u00fccher.example."],
    ["sender", "@b\u00fccher.example"],
    ["sender", "<Joe@b\u00fccher.example>"],
  ] as const) {
    const simulation = simulatedScheduling();
    simulation.world.setDomain("xn--bcher-kva.example", [host("192.0.2.1")]);
    await suspend(simulation, level, key);
    await simulation.send({ from: "joe@xn--bcher-kva.example", to: ["u@xn--bcher-kva.example"] });
    await simulation.clock.advance(MINUTE);
    assert.equal(simulation.scheduler.state.counts.held, 1, `${level} ${key}`);
  }
});

test("what an earlier version kept as it was typed is lifted by what is shown", async () => {
  const simulation = simulatedScheduling();
  const admin = createSchedulerAdmin(simulation);
  for (const [level, key] of [
    ["domain", "b\u00fccher.example"],
    ["domain", "example.org."],
    ["sender", "<joe@a.example>"],
  ] as const) {
    const facts = { level, key, because: "x", by: "ann", setAt: simulation.clock.now(), untilAt: undefined };
    await simulation.scheduler.suspend(facts);
    assert.deepEqual(await admin.unsuspend({ level, key, by: "ann" }), { envelopes: 0 }, key);
  }
  assert.deepEqual(await admin.suspensions(), []);
  await admin.suspend({ level: "tenant", key: "acme", because: "x", by: "ann" });
  assert.equal(await admin.unsuspend({ level: "tenant", key: "Acme", by: "ann" }), undefined);
  assert.equal((await admin.suspensions()).length, 1);
});

test("a message, an envelope of it, and everything", async () => {
  const { simulation, send } = await two({ scheduler: { retry: { relay: { by: "list", waits: ["5m"] }, spread: 0 } } });
  const { world, clock, scheduler } = simulation;
  scheduler.pause("out", "to have it there");
  const [first, second] = await send();
  await clock.advance(SECOND);
  assert.equal(await suspend(simulation, "message", first), 1);
  assert.equal(await suspend(simulation, "envelope", `${second}.1`), 1);
  scheduler.resume("out");
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 0);
  assert.equal(await suspend(simulation, "all", "*"), 0);
  await scheduler.unsuspend("message", first, "ann");
  await clock.advance(HOUR);
  // What one lets go the other holds.
  assert.equal(world.delivered.size, 0);
  assert.equal(scheduler.state.suspensions.all.get("*")?.tickets.size, 1);
  await scheduler.unsuspend("all", "*", "ann");
  await clock.advance(MINUTE);
  assert.deepEqual([...world.delivered.keys()], [`${first}.1`]);
});

test("a retry leaves what is suspended as it is, and says so", async () => {
  const { simulation, send } = await two();
  const { clock, scheduler } = simulation;
  await suspend(simulation, "domain", "a.example");
  await send();
  await clock.advance(SECOND);
  assert.deepEqual(await scheduler.command({ do: "retryNow", selector: { by: "all" } }), {
    envelopes: 0,
    suspended: 1,
  });
});

test("a smarthost is a relay by its URL, and its suspension has nothing to do with other ways", async () => {
  const relay = { kind: "relay", to: ["smtp://smart.example"], backup: false } as const;
  const direct = { kind: "relay", to: [], backup: false } as const;
  const simulation = simulatedScheduling({ actions: { relay, direct } });
  const { world, clock } = simulation;
  for (const domain of ["smart.example", "a.example"]) world.setDomain(domain, [host("192.0.2.1")]);
  await suspend(simulation, "relay", "smtp://smart.example");
  await suspend(simulation, "relay", "b.example");
  await simulation.send({ to: ["u@a.example", "u@b.example"] });
  const free = await simulation.send({ to: ["u@a.example"], action: "direct" });
  await clock.advance(HOUR);
  assert.deepEqual([...world.delivered.keys()], [`${free}.1`]);
});

test("everything means final delivery as well", async () => {
  const simulation = simulatedScheduling();
  await suspend(simulation, "all", "", HOUR);
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await simulation.clock.advance(HOUR - SECOND);
  assert.equal(simulation.world.delivered.size, 0);
  await simulation.clock.advance(2 * SECOND);
  assert.equal(simulation.world.delivered.size, 1);
});

test("a suspension ends by itself, tells when it was set and when it ends, and is not in the store any more", async () => {
  const { simulation, send } = await two();
  const { world, clock, store, lines } = simulation;
  await suspend(simulation, "domain", "a.example", 2 * HOUR);
  assert.equal((await store.notes("suspension ")).length, 1);
  await send();
  await clock.advance(2 * HOUR - SECOND);
  assert.equal(world.delivered.size, 1);
  await clock.advance(2 * SECOND);
  assert.equal(world.delivered.size, 2);
  assert.deepEqual(await store.notes("suspension "), []);
  assert.deepEqual(
    lines.filter((line) => line.includes("suspen")),
    [
      "qmgr: suspended domain a.example by ann: an incident",
      "qmgr: suspension of domain a.example is over, 1 envelopes held",
    ],
  );
});

test("set again it changes its end and its reason, and has been in force since the first time", async () => {
  const { simulation, send } = await two();
  const { clock, scheduler, world } = simulation;
  await suspend(simulation, "domain", "a.example", HOUR);
  const since = clock.now();
  await send();
  await clock.advance(30 * MINUTE);
  assert.equal(await suspend(simulation, "domain", "a.example", HOUR), 1);
  assert.equal(scheduler.state.suspensionCount, 1);
  assert.equal(scheduler.state.suspensions.domain.get("a.example")?.facts.setAt, since);
  await clock.advance(45 * MINUTE);
  assert.equal(world.delivered.size, 1);
  await clock.advance(20 * MINUTE);
  assert.equal(world.delivered.size, 2);
});

test("what is suspended is neither warned about nor expired, and its life goes on where it stood", async () => {
  const simulation = simulatedScheduling({
    scheduler: { retry: { spread: 0, relay: { by: "list", waits: ["1h"] } }, expireAfter: "1d", warnAfter: "4h" },
  });
  const { clock, world, notices } = simulation;
  world.setDomain("a.example", [host("192.0.2.1", { onEnvelope: () => full })]);
  const id = await simulation.send({ to: ["u@a.example"] });
  await clock.advance(2 * HOUR + MINUTE);
  await suspend(simulation, "domain", "a.example", 5 * DAY);
  await clock.advance(5 * DAY - MINUTE);
  assert.deepEqual(notices, []);
  assert.equal((await simulation.store.list({ message: id })).length, 1);
  await clock.advance(HOUR);
  // Two hours of its life are over; the warning comes after four.
  assert.deepEqual(notices, []);
  await clock.advance(3 * HOUR);
  assert.deepEqual(
    notices.map(({ kind }) => kind),
    ["delay"],
  );
  await clock.advance(15 * HOUR);
  assert.equal(notices.length, 1);
  await clock.advance(8 * HOUR);
  assert.deepEqual(
    notices.map(({ kind }) => kind),
    ["delay", "bounce"],
  );
});

test("suspensions hold over a restart, before anything is tried", async () => {
  const store = memoryStore();
  const { simulation, send } = await two({ store });
  await suspend(simulation, "domain", "a.example", 3 * HOUR);
  await suspend(simulation, "sender", "nobody@else.example", MINUTE);
  const [held] = await send();
  await simulation.clock.advance(30 * SECOND);
  await simulation.scheduler.stop(0);

  const next = await two({ store, startAt: simulation.clock.now() + HOUR });
  const { clock, scheduler, world } = next.simulation;
  scheduler.start();
  const [, later] = await next.send();
  await clock.advance(HOUR);
  assert.deepEqual([...world.delivered.keys()], [`${later}.1`]);
  assert.equal(scheduler.state.suspensionCount, 1, "the one whose time is over is gone");
  assert.equal((await store.notes("suspension ")).length, 1);
  const ticket = scheduler.state.tickets.get(`${held}.1`);
  assert.ok(ticket !== undefined);
  assert.deepEqual(
    suspensionsOn(scheduler.state, ticket).map(({ level, key, by }) => [level, key, by]),
    [["domain", "a.example", "ann"]],
  );
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 3);
});

test("with one of two hosts suspended the mail goes to the other one", async () => {
  const simulation = simulatedScheduling();
  const { world, clock } = simulation;
  world.setDomain("a.example", [host("192.0.2.1", { preference: 10 }), host("192.0.2.2", { preference: 20 })]);
  await suspend(simulation, "host", "192.0.2.1");
  await simulation.send({ to: ["u@a.example"] });
  await clock.advance(MINUTE);
  assert.deepEqual(
    world.happenings.filter(({ what }) => what === "transact").map(({ where }) => where),
    ["192.0.2.2"],
  );
});

test("a route is suspended by the name that `show routes` has for it, or as the log writes it", async () => {
  for (const [name, isFromBoth] of [
    ["198.51.100.1 > mx-192.0.2.1[192.0.2.1]:25", false],
    ["mx-192.0.2.1[192.0.2.1]:25", true],
  ] as const) {
    const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1", "198.51.100.2"] } });
    const { world, clock } = simulation;
    const from = new Set<string>();
    world.setDomain("a.example", [
      host("192.0.2.1", { onConnect: ({ sourceAddress = "" }) => void from.add(sourceAddress) }),
    ]);
    await suspend(simulation, "route", name);
    for (let n = 0; n < 10; n++) {
      await simulation.send({ to: [`u${n}@a.example`] });
      await clock.advance(MINUTE);
    }
    assert.deepEqual([...from], isFromBoth ? [] : ["198.51.100.2"], name);
  }
});

test("a session to what is suspended ends after what it carries", async () => {
  const simulation = simulatedScheduling();
  const { world, clock, scheduler } = simulation;
  world.setDomain("a.example", [host("192.0.2.1", { transactMs: MINUTE })]);
  await simulation.send({ to: ["u@a.example"] });
  await clock.advance(30 * SECOND);
  await suspend(simulation, "host", "192.0.2.1");
  await simulation.send({ to: ["v@a.example"] });
  await clock.advance(31 * SECOND);
  assert.equal(world.delivered.size, 1);
  assert.equal(scheduler.state.sessions.size, 0);
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 1);
});

test("a retry by the operator does not lift a suspension; hold, removal and return work on what is suspended", async () => {
  const { simulation, send } = await two();
  const { clock, scheduler, store } = simulation;
  await suspend(simulation, "all", "*");
  const [first, second] = await send();
  await clock.advance(SECOND);
  assert.equal((await scheduler.command({ do: "retryNow", selector: { by: "message", id: first } })).envelopes, 0);
  assert.equal(
    (await scheduler.command({ do: "hold", selector: { by: "message", id: first }, because: "me too" })).envelopes,
    1,
  );
  assert.equal(
    (await scheduler.command({ do: "remove", selector: { by: "message", id: second }, because: "no" })).envelopes,
    1,
  );
  await scheduler.unsuspend("all", "*", "ann");
  await clock.advance(MINUTE);
  const rows = await store.list({});
  assert.deepEqual(
    rows.map(({ message, state }) => [message, state]),
    [[first, "held"]],
  );
  assertSchedulerInvariants(scheduler.state);
});

test("lifting five thousand is done in slices, and each is tried once", async () => {
  const simulation = simulatedScheduling({ route: { limits: { total: 1 } } });
  const { clock, scheduler } = simulation;
  simulation.world.setDomain("a.example", [host("192.0.2.1", { onConnect: () => unreachable("192.0.2.1") })]);
  await suspend(simulation, "domain", "a.example");
  const to = Array.from({ length: 1000 }, (_, n) => `u${n}@a.example`);
  for (let n = 0; n < 5; n++) await simulation.send({ to });
  await clock.advance(SECOND);
  assert.equal(scheduler.state.counts.held, 5000);
  await scheduler.unsuspend("domain", "a.example", "ann");
  assert.ok(scheduler.state.counts.held > 0, "not all in one step");
  assertSchedulerInvariants(scheduler.state);
  await clock.advance(SECOND);
  assert.equal(scheduler.state.counts.held, 0);
  assertSchedulerInvariants(scheduler.state);
});

test("why: who suspended it, when, why and until when, beside what else holds it up", async () => {
  const { simulation, send } = await two();
  const { clock, scheduler } = simulation;
  await suspend(simulation, "tenant", "acme", HOUR);
  await suspend(simulation, "domain", "a.example");
  const [held] = await send();
  await clock.advance(SECOND);
  const ticket = scheduler.state.tickets.get(`${held}.1`);
  assert.ok(ticket !== undefined);
  const hindrances = hindrancesOf(scheduler.state, ticket);
  const told = hindrances.filter(({ what }) => what === "suspended");
  assert.deepEqual(hindrances, told, "that it was due before is no reason");
  assert.deepEqual(
    told.map(({ text }) => text),
    [
      "domain a.example is suspended by ann since 2026-01-01T12:00:00Z: an incident",
      "tenant acme is suspended by ann since 2026-01-01T12:00:00Z: an incident",
    ],
  );
  assert.deepEqual(
    told.map(({ untilAt }) => untilAt),
    [undefined, Date.UTC(2026, 0, 1, 13)],
  );
});

test("lifting what is not suspended says so", async () => {
  const simulation = simulatedScheduling();
  assert.equal(await simulation.scheduler.unsuspend("tenant", "nobody", "ann"), undefined);
});

test("when a host's suspension ends, mail that waits for another host's rest goes there at once", async () => {
  const simulation = simulatedScheduling({ route: { penaltyStep: "10m", longestRest: "1h" } });
  const { clock, world, scheduler } = simulation;
  world.setDomain("a.example", [
    host("192.0.2.1"),
    host("192.0.2.2", { onConnect: () => unreachable("192.0.2.2"), preference: 20 }),
  ]);
  await suspend(simulation, "host", "192.0.2.1");
  await simulation.send({ to: ["one@a.example"] });
  await clock.advance(MINUTE);
  // Its round is over; this one finds one host suspended and the other one at rest.
  const id = await simulation.send({ to: ["two@a.example"] });
  await clock.advance(MINUTE);
  assert.equal(world.delivered.size, 0);
  await scheduler.unsuspend("host", suspensionKey("host", "192.0.2.1"), "ann");
  await clock.advance(SECOND);
  assert.ok(world.delivered.has(`${id}.1`));
});

test("mail that was under way when it was suspended, and comes back into the line unasked, is held", async () => {
  const goodbye: Failure = {
    lasting: "temporary",
    status: "4.3.2",
    cause: { kind: "reply", during: "MAIL" },
    reply: reply(421, undefined, "closing, try again in 60 seconds"),
  };
  const simulation = simulatedScheduling();
  const { clock, world, scheduler } = simulation;
  world.setDomain("a.example", [
    host("192.0.2.1", { transactMs: 10_000, onTransaction: (_, nth) => (nth > 1 ? { failure: goodbye } : undefined) }),
  ]);
  await simulation.send({ to: ["one@a.example"] });
  const id = await simulation.send({ from: "joe@here.example", to: ["two@a.example"] });
  await clock.advance(15_000);
  await suspend(simulation, "sender", "joe@here.example");
  await clock.advance(HOUR);
  assert.ok(!world.delivered.has(`${id}.1`));
  assertSchedulerInvariants(scheduler.state);
  await scheduler.unsuspend("sender", "joe@here.example", "ann");
  await clock.advance(MINUTE);
  assert.ok(world.delivered.has(`${id}.1`));
});

test("a sender is suspended, and selected, by whom the mail came from as well as by whom it goes on as", async () => {
  const srs = "SRS0=abcd=AB=x.example=spammer@mail.example";
  const forwarded = { from: "Spammer@X.example", to: ["u@a.example"], envelope: { sender: srs } };
  for (const name of ["spammer@x.example", "@x.example", srs]) {
    const { simulation } = await two();
    const { clock, world, scheduler, store } = simulation;
    await suspend(simulation, "sender", name);
    await simulation.send(forwarded);
    await clock.advance(MINUTE);
    assert.equal(world.delivered.size, 0, name);
    await scheduler.stop(0);
    const next = await two({ store, startAt: clock.now() });
    next.simulation.scheduler.start();
    await next.simulation.clock.advance(MINUTE);
    assert.equal(next.simulation.world.delivered.size, 0, `${name}, after a restart`);
  }
  const { simulation } = await two();
  simulation.scheduler.pause("out", "to have it there");
  await simulation.send(forwarded);
  await simulation.clock.advance(SECOND);
  for (const sender of ["spammer@x.example", srs]) {
    const command = { do: "hold", selector: { by: "sender", sender }, because: "a look" } as const;
    assert.deepEqual(await simulation.scheduler.command(command), { envelopes: 1 }, sender);
    assert.equal((await simulation.store.list({ sender })).length, 1, sender);
  }
});
