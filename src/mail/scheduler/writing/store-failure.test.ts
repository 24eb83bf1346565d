import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { sleep } from "../../../foundation/clock.ts";
import { PosthornError, type ErrorCode } from "../../../foundation/error.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import type { SimulatedHost } from "../../../simulator/deliveries.ts";
import { NOON, simulatedScheduling } from "../../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../../testing/scheduler-invariants.ts";
import type { Failure } from "../../envelope/failure.ts";
import { memoryStore } from "../../queue/memory-store.ts";
import type { Operation, Store } from "../../queue/store.ts";

const noSuchUser: Failure = {
  lasting: "permanent",
  status: "5.1.1",
  cause: { kind: "mailbox", reason: "no-such-user", text: "" },
};

/** A store in memory that can be made to fail as a disk does: not known whether the last batch was done. */
function failingStore() {
  const inner = memoryStore();
  const failure = { code: undefined as ErrorCode | undefined, isDoneAllTheSame: false };
  const fail = (): void => {
    if (failure.code === undefined) return;
    throw new PosthornError(failure.code, { message: "the disk failed", advice: "look at it" });
  };
  const store: Store = {
    ...inner,
    async apply(batch: readonly Operation[]) {
      if (failure.code !== undefined && failure.isDoneAllTheSame) await inner.apply(batch);
      failure.isDoneAllTheSame = false;
      fail();
      await inner.apply(batch);
    },
    async list(filter) {
      fail();
      return inner.list(filter);
    },
    async envelopes(ids) {
      fail();
      return inner.envelopes(ids);
    },
    async *load() {
      fail();
      yield* inner.load();
    },
  };
  return { store, inner, failure };
}

const minutes = (count: number): number => count * 60_000;

test("a notice whose id is taken gets another one, and what was delivered with it is not delivered again", async () => {
  const { store, inner } = failingStore();
  let refused = 0;
  const simulation = simulatedScheduling({
    store: {
      ...store,
      async apply(batch) {
        const isNotice = batch.some((one) => one.do === "commit" && one.message.sender === "");
        if (isNotice && refused++ === 0)
          throw new PosthornError("SPOOL_REFUSED", { message: "the id is taken", advice: "take another" });
        await inner.apply(batch);
      },
    },
  });
  const [told, quiet] = [["SUCCESS"], []] as const;
  await simulation.send({ to: ["a@mail.example"], action: "deliver", envelope: { notify: told } });
  await simulation.send({ to: ["b@mail.example"], action: "deliver", envelope: { notify: quiet } });
  await simulation.clock.advance(600_000);
  assert.equal(refused, 2);
  assert.deepEqual([...simulation.world.delivered.values()], [1, 1, 1]);
  assert.deepEqual(await inner.list({}), []);
});

test("while the store is down nothing is handed out, and outcomes that were decided are written when it is back", async () => {
  const { store, inner, failure } = failingStore();
  const simulation = simulatedScheduling({ store });
  const { clock, world } = simulation;
  world.localMs = 1000;
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await clock.advance(500);
  failure.code = "SPOOL_FAILED";
  await clock.advance(1000);
  assert.equal(world.delivered.size, 1);
  assert.equal(simulation.scheduler.state.isStoreUsable, false);
  await assert.rejects(simulation.send({ to: ["jane@mail.example"], action: "deliver" }), { code: "SPOOL_FAILED" });
  await clock.advance(600_000);
  assert.equal(world.happenings.length, 1);
  failure.code = undefined;
  await clock.advance(60_000);
  assert.equal(simulation.scheduler.state.isStoreUsable, true);
  assert.deepEqual(await inner.list({}), []);
  assert.deepEqual([...world.delivered.values()], [1]);
});

test("a commit that failed for the client, but was done, is found again and delivered", async () => {
  const { store, inner, failure } = failingStore();
  const simulation = simulatedScheduling({ store });
  failure.code = "SPOOL_FAILED";
  failure.isDoneAllTheSame = true;
  await assert.rejects(simulation.send({ to: ["jane@mail.example"], action: "deliver" }));
  assert.equal((await inner.list({})).length, 1);
  failure.code = undefined;
  await simulation.clock.advance(60_000);
  assert.equal(simulation.world.delivered.size, 1);
  assert.deepEqual(await inner.list({}), []);
});

test("a bounce whose batch was done when its sync failed is not made a second time", async () => {
  const { store, inner, failure } = failingStore();
  const simulation = simulatedScheduling({ store });
  const { clock, world } = simulation;
  world.onLocal = ({ envelope }) => (envelope.recipient.startsWith("nobody") ? noSuchUser : undefined);
  world.localMs = 1000;
  await simulation.send({ to: ["nobody@mail.example"], action: "deliver" });
  await clock.advance(500);
  failure.code = "SPOOL_FAILED";
  failure.isDoneAllTheSame = true;
  await clock.advance(2000);
  failure.code = undefined;
  await clock.advance(600_000);
  assert.equal(simulation.notices.length, 1);
  assert.deepEqual([...world.delivered.values()], [1], "the bounce, once");
  assert.deepEqual(await inner.list({}), []);
});

test("mail whose content the queue has lost waits, is told and returned, and all other mail goes on", async () => {
  const { store } = failingStore();
  const lost = new Set<string>();
  const simulation = simulatedScheduling({
    store: { ...store, body: async (id) => (lost.has(id) ? undefined : store.body(id)) },
  });
  const { clock, scheduler, world } = simulation;
  world.onLocal = () => ({ ...noSuchUser, lasting: "temporary", status: "4.2.0" });
  const message = await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await clock.advance(1000);
  lost.add(message);
  world.onLocal = () => undefined;
  await clock.advance(minutes(30));
  const [waiting] = await store.list({});
  assert.equal(waiting?.state, "queued");
  assert.equal(waiting?.attempts, 1, "its schedule does not go on by that");
  assert.match(JSON.stringify(waiting?.lastFailure), /its content is not in the queue any more/);
  assert.match(simulation.lines.join("\n"), /error: \w+: its content is not in the queue any more: bring/);
  assert.equal(world.delivered.size, 0);
  await simulation.send({ to: ["jane@mail.example"], action: "deliver" });
  await clock.advance(1000);
  assert.equal(world.delivered.size, 1);
  await scheduler.command({ do: "bounce", selector: { by: "message", id: message }, because: "it is lost" });
  await clock.advance(1000);
  assert.deepEqual(
    simulation.notices.map(({ kind, body }) => [kind, body]),
    [["bounce", undefined]],
  );
  assert.deepEqual(await store.list({}), []);
});

test("mail whose record is damaged waits, is told and returned, and the other recipients and mails go on", async () => {
  const { store } = failingStore();
  const damagedRecipients = new Set<string>();
  const damaged = new Set<string>();
  const simulation = simulatedScheduling({
    store: {
      ...store,
      message: async (id) => {
        const message = await store.message(id);
        return message === undefined || !damaged.has(id) ? message : { ...message, isDamaged: true };
      },
      envelopes: async (ids) =>
        (await store.envelopes(ids)).map((one) =>
          damagedRecipients.has(one.envelope.recipient) ? { ...one, isDamaged: true } : one,
        ),
    },
  });
  const { clock, scheduler, world } = simulation;
  const later: Failure = { ...noSuchUser, lasting: "temporary", status: "4.2.0" };
  const host: SimulatedHost = { name: "mx.other.example", ip: "192.0.2.1", onEnvelope: () => later };
  world.setDomain("other.example", [host]);
  world.onLocal = () => later;
  const message = await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await simulation.send({ to: ["ann@other.example", "bob@other.example"] });
  await clock.advance(6000);
  damaged.add(message);
  damagedRecipients.add("bob@other.example");
  world.onLocal = () => undefined;
  host.onEnvelope = () => undefined;
  await clock.advance(minutes(60));
  assert.equal(world.delivered.size, 1);
  const waiting = await store.list({});
  assert.deepEqual(
    waiting.map(({ recipient, state }) => [recipient, state]),
    [
      ["joe@mail.example", "queued"],
      ["bob@other.example", "queued"],
    ],
  );
  for (const one of waiting) {
    assert.match(JSON.stringify(one.lastFailure), /its record in the queue's database is damaged/);
    assert.match(simulation.lines.join("\n"), new RegExp(`error: ${one.message}: its record .* is damaged: bring`));
  }
  await scheduler.command({ do: "bounce", selector: { by: "all" }, because: "it is lost" });
  await clock.advance(6000);
  assert.deepEqual(
    simulation.notices.map(({ kind, about }) => [kind, about.map(({ envelope }) => envelope.recipient)]),
    [
      ["bounce", ["joe@mail.example"]],
      ["bounce", ["bob@other.example"]],
    ],
  );
});

test("a full disk makes outcomes wait, and nothing is lost", async () => {
  const { store, inner, failure } = failingStore();
  const simulation = simulatedScheduling({ store });
  simulation.world.localMs = 100;
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  failure.code = "SPOOL_FULL";
  await simulation.clock.advance(20_000);
  assert.equal((await inner.list({})).length, 1);
  failure.code = undefined;
  await simulation.clock.advance(10_000);
  assert.deepEqual(await inner.list({}), []);
  assert.deepEqual([...simulation.world.delivered.values()], [1]);
});

test("on a full disk a retry is tried at once, for what is delivered makes room", async () => {
  let isFull = false;
  const inner = memoryStore();
  const store: Store = {
    ...inner,
    async apply(batch) {
      if (isFull && batch.some((one) => one.do !== "remove"))
        throw new PosthornError("SPOOL_FULL", { message: "no room", advice: "make some" });
      await inner.apply(batch);
    },
  };
  const simulation = simulatedScheduling({ store });
  const { clock, scheduler, world } = simulation;
  let isAway = true;
  const away: Failure = {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "" },
  };
  world.setDomain("example.org", [{ name: "mx", ip: "192.0.2.1", onConnect: () => (isAway ? away : undefined) }]);
  for (const name of ["a", "b", "c"]) await simulation.send({ to: [`${name}@example.org`] });
  await clock.advance(60_000);
  isFull = true;
  isAway = false;
  const answer = scheduler.command({ do: "retryNow", selector: { by: "all" } });
  await clock.advance(10_000);
  assert.deepEqual(await answer, { envelopes: 3 });
  assert.equal(world.delivered.size, 3);
  assert.deepEqual(await inner.list({}), []);
});

test("stop does not wait for a store that stays down", async () => {
  const { store, failure } = failingStore();
  const simulation = simulatedScheduling({ store });
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  failure.code = "SPOOL_FAILED";
  await simulation.clock.advance(1000);
  const stopped = simulation.scheduler.stop(5000);
  await simulation.clock.advance(6000);
  assert.equal(await stopped, false);
});

test("with a disk that fails again and again nothing is lost and nothing delivered twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const chance = seededRandom(seed);
      const { store, inner, failure } = failingStore();
      const clock = virtualClock(NOON);
      const simulation = simulatedScheduling({ store, clock, seed });
      const { world } = simulation;
      world.localMs = 300;
      world.onLocal = ({ envelope }) => (envelope.recipient.startsWith("nobody") ? noSuchUser : undefined);
      world.setDomain("example.org", [{ name: "mx", ip: "192.0.2.1", transactMs: 200 }]);
      const promised: string[] = [];
      for (let n = 0; n < 30; n++) {
        failure.code = chance.next() < 0.3 ? "SPOOL_FAILED" : undefined;
        failure.isDoneAllTheSame = chance.next() < 0.5;
        const to =
          chance.next() < 0.5 ? "jane@example.org" : chance.next() < 0.7 ? "joe@mail.example" : "nobody@mail.example";
        const action = to.endsWith("org") ? "relay" : "deliver";
        await simulation.send({ to: [to], action }).then(
          (id) => promised.push(id),
          () => {},
        );
        await clock.advance(Math.floor(chance.next() * 3000));
        assertSchedulerInvariants(simulation.scheduler.state);
      }
      failure.code = undefined;
      await clock.advance(3_600_000);
      assert.deepEqual(await inner.list({}), []);
      const told = simulation.notices.flatMap((one) => one.about.map((about) => about.envelope.id));
      for (const id of promised) {
        const ends = (world.delivered.get(`${id}.1`) ?? 0) + told.filter((each) => each === `${id}.1`).length;
        assert.ok(ends >= 1, `${id} came to an end`);
      }
      for (const [, times] of world.delivered) assert.equal(times, 1);
      await simulation.scheduler.stop(0);
    }),
    { numRuns: 40 },
  );
});

/** Says of each batch whether it is refused; counts those that are. */
function refusingStore(refuses: (batch: readonly Operation[]) => boolean) {
  const { store, inner } = failingStore();
  const refused: (readonly Operation[])[] = [];
  const refusing: Store = {
    ...store,
    async apply(batch) {
      if (refuses(batch)) {
        refused.push(batch);
        throw new PosthornError("SPOOL_REFUSED", { message: "not this one", advice: "none" });
      }
      await inner.apply(batch);
    },
  };
  return { store: refusing, inner, refused };
}

test("a success notice that the queue refuses whatever its id is left out and told, and its mail is not delivered again", async () => {
  const { store, inner, refused } = refusingStore((batch) =>
    batch.some((one) => one.do === "commit" && one.message.sender === ""),
  );
  const simulation = simulatedScheduling({ store });
  await simulation.send({ to: ["a@mail.example"], action: "deliver", envelope: { notify: ["SUCCESS"] } });
  await simulation.clock.advance(600_000);
  assert.equal(refused.length, 3);
  assert.deepEqual([...simulation.world.delivered.values()], [1]);
  assert.deepEqual(await inner.list({}), []);
  const told = simulation.emitted.filter(({ name }) => name === "bounce.failed");
  assert.deepEqual(
    told.map(({ fields }) => [fields["kind"], fields["problem"]]),
    [["success", "the queue refused it: not this one"]],
  );
});

test("an outcome that the queue refuses is written again ever more seldom, alone, and its mail is not tried meanwhile", async () => {
  for (const from of ["sender@mail.example", ""]) {
    let isRefusing = true;
    let refusedId = "";
    const { store, inner, refused } = refusingStore(
      (batch) =>
        isRefusing && batch.some((one) => (one.do === "remove" || one.do === "update") && one.envelope === refusedId),
    );
    const simulation = simulatedScheduling({ store });
    const { clock, world, emitted, scheduler } = simulation;
    refusedId = `${await simulation.send({ from, to: ["a@mail.example"], action: "deliver" })}.1`;
    await simulation.send({ from, to: ["b@mail.example"], action: "deliver" });
    await clock.advance(3_600_000);
    assert.deepEqual([...world.delivered.values()], [1, 1]);
    assert.ok(refused.length > 8 && refused.length < 30, `${refused.length} times in an hour`);
    assert.deepEqual(
      (await inner.list({})).map(({ envelope }) => envelope),
      [refusedId],
    );
    const told = emitted.filter(({ name }) => name === "queue.write-refused");
    assert.equal(told.length, refused.length - 1);
    assert.equal(emitted.filter(({ name }) => name === "bounce.failed").length, 0);
    assert.equal(told[0]?.fields["because"], "not this one");
    assertSchedulerInvariants(scheduler.state);
    isRefusing = false;
    await clock.advance(300_000);
    assert.deepEqual(await inner.list({}), []);
    assert.deepEqual([...world.delivered.values()], [1, 1]);
  }
});

test("a command whose change the queue refuses is answered so, and what was to be removed stays", async () => {
  const { store, inner } = refusingStore((batch) => batch.some((one) => one.do === "remove" || one.do === "update"));
  const simulation = simulatedScheduling({ store });
  const { clock, scheduler, world } = simulation;
  scheduler.pause("out", "to hold it");
  await simulation.send({ to: ["a@example.org"] });
  await clock.advance(1000);
  const because = "the queue refused it: not this one";
  for (const command of [{ do: "remove" }, { do: "hold" }] as const)
    assert.deepEqual(await scheduler.command({ ...command, because: "x", selector: { by: "all" } }), {
      envelopes: 0,
      undone: 1,
      because,
    });
  assert.equal((await inner.list({})).length, 1);
  assert.equal(world.delivered.size, 0);
});

test("a command for what waits to be written again is answered at once: it is done when that has ended", async () => {
  let isRefusing = true;
  let refusedId = "";
  const { store, inner } = refusingStore(
    (batch) => isRefusing && batch.some((one) => one.do === "remove" && one.envelope === refusedId),
  );
  const simulation = simulatedScheduling({ store });
  const { clock, emitted, scheduler, world } = simulation;
  refusedId = `${await simulation.send({ to: ["a@mail.example"], action: "deliver" })}.1`;
  await clock.advance(60_000);
  const hold = { do: "hold", because: "x", selector: { by: "all" } } as const;
  assert.deepEqual(await scheduler.command(hold), { envelopes: 0, asked: 1 });
  assertSchedulerInvariants(scheduler.state);
  isRefusing = false;
  await clock.advance(300_000);
  assert.deepEqual(await inner.list({}), []);
  assert.deepEqual([...world.delivered.values()], [1]);
  const undone = emitted.filter(({ name }) => name === "queue.change-undone");
  assert.deepEqual(
    undone.map(({ fields }) => [fields["wanted"], fields["why"]]),
    [["held", "too late, it had left the queue"]],
  );
});

test("a command that waits for a write is answered when the queue refuses that write", async () => {
  const { store, refused } = refusingStore((batch) => batch.some((one) => one.do === "remove"));
  const slow: Store = {
    ...store,
    async apply(batch) {
      if (batch.some((one) => one.do === "remove")) await sleep(simulation.clock, 1000);
      await store.apply(batch);
    },
  };
  const simulation = simulatedScheduling({ store: slow });
  const { clock, scheduler } = simulation;
  await simulation.send({ to: ["a@mail.example"], action: "deliver" });
  await clock.advance(500);
  assert.equal(scheduler.state.writes.size, 1);
  const held = scheduler.command({ do: "hold", because: "x", selector: { by: "all" } });
  await clock.advance(2000);
  assert.deepEqual(await held, { envelopes: 0, asked: 1 });
  assert.equal(refused.length, 2);
});

test("a stop tries what the queue refused once more, and does not wait for it", async () => {
  for (const isRefusing of [true, false]) {
    let refuses = true;
    const { store, inner, refused } = refusingStore((batch) => refuses && batch.some((one) => one.do === "remove"));
    const simulation = simulatedScheduling({ store });
    const { clock, emitted, scheduler } = simulation;
    await simulation.send({ to: ["a@mail.example"], action: "deliver" });
    await clock.advance(600_000);
    const before = refused.length;
    refuses = isRefusing;
    const stoppedAt = clock.now();
    let took: number | undefined;
    const stopping = scheduler.stop(25_000).then((isInOrder) => {
      took = clock.now() - stoppedAt;
      return isInOrder;
    });
    await clock.advance(30_000);
    assert.equal(await stopping, true);
    assert.equal(took, 0);
    assert.equal(refused.length, before + Number(isRefusing));
    assert.equal((await inner.list({})).length, Number(isRefusing));
    if (isRefusing)
      assert.equal(emitted.findLast(({ name }) => name === "queue.write-refused")?.fields["wait"], undefined);
  }
});

test("a bounce that the queue refuses says why, to who asked for it and in the log", async () => {
  const { store, inner } = refusingStore((batch) =>
    batch.some((one) => one.do === "commit" && one.message.sender === ""),
  );
  const simulation = simulatedScheduling({ store });
  const { clock, emitted, scheduler } = simulation;
  scheduler.pause("out", "to keep it");
  await simulation.send({ to: ["a@example.org"] });
  await clock.advance(1000);
  const answer = await scheduler.command({ do: "bounce", because: "x", selector: { by: "all" } });
  const because = "its bounce could not be made: the queue refused it: not this one";
  assert.deepEqual(answer, { envelopes: 0, undone: 1, because });
  const told = emitted.filter(({ name }) => name === "bounce.failed");
  assert.deepEqual(
    told.map(({ fields }) => [fields["kind"], fields["problem"]]),
    [["bounce", "the queue refused it: not this one"]],
  );
  assert.equal((await inner.list({})).length, 1);
});
