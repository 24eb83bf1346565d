import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import type { SimulatedHost } from "../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { memoryStore } from "../queue/memory-store.ts";

/** Warnings, expiry, DELIVERBY, FUTURERELEASE, holds and suspensions, two and three at a time. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};
const EXACT = {
  retry: { spread: 0, relay: { by: "list", waits: ["1h"] } },
  expireAfter: "1d",
  warnAfter: "4h",
} as const;

function scene(options: Parameters<typeof simulatedScheduling>[0] = {}): SimulatedScheduling & { isFull: boolean } {
  const simulation = Object.assign(simulatedScheduling({ scheduler: EXACT, ...options }), { isFull: false });
  const host: SimulatedHost = {
    name: "mx",
    ip: "192.0.2.1",
    connectMs: 0,
    transactMs: 0,
    onEnvelope: () => (simulation.isFull ? full : undefined),
  };
  simulation.world.setDomain("a.example", [host]);
  return simulation;
}

const told = ({ notices }: SimulatedScheduling): readonly string[] => notices.map(({ kind }) => kind);
const suspendDomain = ({ scheduler, clock }: SimulatedScheduling, forMs: number): Promise<number> => {
  const untilAt = clock.now() + forMs;
  const facts = { level: "domain", key: "a.example", because: "x", by: "ann", setAt: clock.now(), untilAt } as const;
  return scheduler.suspend(facts);
};
const later = (hours: number) => ({ to: ["u@a.example"], envelope: { notBeforeAt: NOON + hours * HOUR } });

test("a hold that ends before FUTURERELEASE does not send the mail early, and one that ends after sends it then", async () => {
  for (const [heldHours, sentHours] of [
    [1, 5],
    [8, 8],
  ] as const) {
    const simulation = scene();
    const { clock, world, scheduler } = simulation;
    const id = await simulation.send(later(5));
    const untilAt = clock.now() + heldHours * HOUR;
    await clock.advance(MINUTE);
    await scheduler.command({ do: "hold", selector: { by: "message", id }, because: "x", untilAt });
    await clock.advance(sentHours * HOUR - 2 * MINUTE);
    assert.equal(world.delivered.size, 0, `held for ${heldHours} h`);
    await clock.advance(2 * MINUTE);
    assert.equal(world.delivered.size, 1, `held for ${heldHours} h`);
    assertSchedulerInvariants(scheduler.state);
  }
});

test("retries of everything, of a domain and by ETRN leave FUTURERELEASE alone; who names the mail means it", async () => {
  const simulation = scene();
  const { clock, world, scheduler } = simulation;
  const id = await simulation.send(later(5));
  await clock.advance(MINUTE);
  assert.equal((await scheduler.command({ do: "retryNow", selector: { by: "all" } })).envelopes, 0);
  assert.equal(
    (await scheduler.command({ do: "retryNow", selector: { by: "domain", domain: "a.example" } })).envelopes,
    0,
  );
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: false }), {
    kind: "woken",
    envelopes: 0,
  });
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 0);
  assert.equal((await scheduler.command({ do: "retryNow", selector: { by: "message", id } })).envelopes, 1);
  await clock.advance(SECOND);
  assert.equal(world.delivered.size, 1);
});

test("an operator's instant for many leaves FUTURERELEASE alone; for the mail by its id it holds", async () => {
  for (const selector of [
    { by: "all" },
    { by: "domain", domain: "a.example" },
    { by: "sender", sender: "joe@mail.example" },
  ] as const) {
    const simulation = scene();
    const { clock, world, scheduler } = simulation;
    await simulation.send({ from: "joe@mail.example", ...later(5) });
    await clock.advance(MINUTE);
    assert.equal(
      (await scheduler.command({ do: "schedule", selector, at: clock.now() + 10 * MINUTE })).envelopes,
      0,
      selector.by,
    );
    await clock.advance(4 * HOUR);
    assert.equal(world.delivered.size, 0, selector.by);
    // An instant after the sender's is no affair of the sender's.
    assert.equal(
      (await scheduler.command({ do: "schedule", selector, at: NOON + 6 * HOUR })).envelopes,
      1,
      selector.by,
    );
    await clock.advance(HOUR + 30 * MINUTE);
    assert.equal(world.delivered.size, 0, selector.by);
    await clock.advance(30 * MINUTE);
    assert.equal(world.delivered.size, 1, selector.by);
  }
  const simulation = scene();
  const { clock, world, scheduler } = simulation;
  const id = await simulation.send(later(5));
  await clock.advance(MINUTE);
  const selector = { by: "message", id } as const;
  assert.equal((await scheduler.command({ do: "schedule", selector, at: clock.now() + 10 * MINUTE })).envelopes, 1);
  await clock.advance(11 * MINUTE);
  assert.equal(world.delivered.size, 1);
});

test("a retry that names held FUTURERELEASE mail makes it due now; a release leaves it to its sender's time", async () => {
  const simulation = scene();
  const { clock, world, scheduler } = simulation;
  const [retried, released] = [await simulation.send(later(5)), await simulation.send(later(5))];
  await clock.advance(MINUTE);
  await scheduler.command({ do: "hold", selector: { by: "all" }, because: "x" });
  assert.equal(
    (await scheduler.command({ do: "retryNow", selector: { by: "envelope", id: `${retried}.1` } })).envelopes,
    1,
  );
  assert.equal(
    (await scheduler.command({ do: "release", selector: { by: "envelope", id: `${released}.1` } })).envelopes,
    1,
  );
  await clock.advance(MINUTE);
  assert.deepEqual([...world.delivered.keys()], [`${retried}.1`]);
  await clock.advance(4 * HOUR);
  assert.equal(world.delivered.size, 1);
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 2);
});

test("FUTURERELEASE is kept over a restart and a hold that was begun before it", async () => {
  const store = memoryStore();
  const first = scene({ store });
  const id = await first.send(later(5));
  await first.clock.advance(MINUTE);
  await first.scheduler.command({ do: "hold", selector: { by: "message", id }, because: "x" });
  await first.scheduler.stop(0);
  const { clock, world, scheduler } = scene({ store, startAt: NOON + HOUR });
  scheduler.start();
  await clock.advance(MINUTE);
  await scheduler.command({ do: "release", selector: { by: "message", id } });
  await clock.advance(3 * HOUR);
  assert.equal(world.delivered.size, 0);
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 1);
});

test("the warning after FUTURERELEASE counts from the release, and so does expiry", async () => {
  const simulation = scene();
  simulation.isFull = true;
  await simulation.send(later(10));
  await simulation.clock.advance(14 * HOUR - MINUTE);
  assert.deepEqual(told(simulation), []);
  await simulation.clock.advance(2 * MINUTE);
  assert.deepEqual(told(simulation), ["delay"]);
  await simulation.clock.advance(20 * HOUR - 5 * MINUTE);
  assert.deepEqual(told(simulation), ["delay"]);
  await simulation.clock.advance(10 * MINUTE);
  assert.deepEqual(told(simulation), ["delay", "bounce"]);
});

test("a suspension over FUTURERELEASE: the mail's life begins when it ends, not while it lasts", async () => {
  const simulation = scene();
  simulation.isFull = true;
  await simulation.send(later(2));
  await suspendDomain(simulation, 2 * DAY);
  await simulation.clock.advance(2 * DAY + 4 * HOUR - MINUTE);
  assert.deepEqual(told(simulation), []);
  await simulation.clock.advance(5 * MINUTE);
  assert.deepEqual(told(simulation), ["delay"]);
  await simulation.clock.advance(20 * HOUR);
  assert.deepEqual(told(simulation), ["delay", "bounce"]);
});

test("DELIVERBY with return: a suspension or a hold does not stretch it; the mail goes back when that ends", async () => {
  for (const how of ["hold", "suspend"] as const) {
    const simulation = scene();
    const { clock, world, scheduler } = simulation;
    scheduler.pause("out", "to have it there");
    const deliverBy = { at: NOON + HOUR, mode: "return", trace: false } as const;
    const id = await simulation.send({ to: ["u@a.example"], message: { deliverBy } });
    await clock.advance(MINUTE);
    if (how === "suspend") await suspendDomain(simulation, 3 * HOUR);
    else {
      const untilAt = clock.now() + 3 * HOUR;
      await scheduler.command({ do: "hold", selector: { by: "message", id }, because: "x", untilAt });
    }
    scheduler.resume("out");
    await clock.advance(2 * HOUR);
    assert.deepEqual(told(simulation), [], how);
    await clock.advance(2 * HOUR);
    assert.deepEqual(told(simulation), ["bounce"], how);
    assert.equal(simulation.notices[0]?.about[0]?.failure?.cause.kind, "deliver-by");
    assert.equal(world.happenings.filter(({ what }) => what === "transact").length, 0, how);
  }
});

test("DELIVERBY with notify: told at the sender's time and not at ours, once; and not of mail that is suspended", async () => {
  const simulation = scene();
  simulation.isFull = true;
  const deliverBy = { at: NOON + 2 * HOUR, mode: "notify", trace: false } as const;
  await simulation.send({ to: ["u@a.example"], message: { deliverBy } });
  await simulation.clock.advance(2 * HOUR + MINUTE);
  assert.deepEqual(told(simulation), ["delay"]);
  await simulation.clock.advance(10 * HOUR);
  assert.deepEqual(told(simulation), ["delay"]);

  const held = scene();
  await suspendDomain(held, 5 * HOUR);
  await held.send({ to: ["u@a.example"], message: { deliverBy } });
  await held.clock.advance(5 * HOUR - MINUTE);
  assert.deepEqual(told(held), []);
  await held.clock.advance(2 * MINUTE);
  assert.deepEqual(told(held), [], "delivered at once, so there is nothing to tell");
  assert.equal(held.world.delivered.size, 1);
});

test("a hold inside a suspension, and a suspension inside a hold: the mail goes when both are over", async () => {
  for (const [holdHours, suspendHours] of [
    [2, 6],
    [6, 2],
  ] as const) {
    const simulation = scene();
    const { clock, scheduler, world } = simulation;
    scheduler.pause("out", "to have it there");
    const id = await simulation.send({ to: ["u@a.example"] });
    await clock.advance(MINUTE);
    await suspendDomain(simulation, suspendHours * HOUR);
    const untilAt = clock.now() + holdHours * HOUR;
    await scheduler.command({ do: "hold", selector: { by: "message", id }, because: "x", untilAt });
    scheduler.resume("out");
    await clock.advance(6 * HOUR - MINUTE);
    assert.equal(world.delivered.size, 0);
    assertSchedulerInvariants(scheduler.state);
    await clock.advance(2 * MINUTE);
    assert.equal(world.delivered.size, 1);
  }
});

test("mail that was suspended on and off has lived only between: it expires after a day of that", async () => {
  const simulation = scene();
  simulation.isFull = true;
  const { clock } = simulation;
  await simulation.send({ to: ["u@a.example"] });
  for (let n = 0; n < 5; n++) {
    await clock.advance(4 * HOUR);
    await suspendDomain(simulation, DAY);
    await clock.advance(DAY);
  }
  // Five times four hours of its life are over; what was not yet due when it was suspended had not lost that time.
  assert.ok(!told(simulation).includes("bounce"));
  await clock.advance(10 * HOUR);
  assert.deepEqual(told(simulation).filter((kind) => kind === "bounce").length, 1);
});

test("mail that its session's end sent back into the line is returned at its sender's deadline while the route rests", async () => {
  const simulation = simulatedScheduling();
  const { clock, world } = simulation;
  const goodbye: Failure = {
    lasting: "temporary",
    status: "4.3.2",
    cause: { kind: "reply", during: "MAIL" },
    reply: reply(421, undefined, "closing, try again in 30 minutes"),
  };
  world.setDomain("a.example", [
    { name: "mx", ip: "192.0.2.1", onTransaction: (_, nth) => (nth > 1 ? { failure: goodbye } : undefined) },
  ]);
  await simulation.send({ to: ["one@a.example"] });
  const deliverBy = { at: clock.now() + 300_000, mode: "return", trace: false } as const;
  await simulation.send({ to: ["two@a.example"], message: { deliverBy } });
  await clock.advance(299_000);
  assert.equal(world.delivered.size, 1);
  assert.equal(simulation.notices.length, 0);
  await clock.advance(2000);
  assert.equal(simulation.notices.length, 1);
});
