import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { contentFilterActions } from "../../envelope/content-filter.ts";
import { failureText } from "../../envelope/failure-text.ts";
import type { Failure } from "../../envelope/failure.ts";
import { hindrancesOf } from "../admin/hindrances.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const SENDER = "x@sender.example";
const EXACT = { retry: { spread: 0 } };

function atMail(code: number, status: string, text: string): Failure {
  return {
    lasting: code < 500 ? "temporary" : "permanent",
    status,
    cause: { kind: "reply", during: "MAIL" },
    reply: reply(code, status, text),
    host: "mx[192.0.2.1]:25",
  };
}
const notNow = atMail(450, "4.7.1", "sender refused");

interface Refusing {
  readonly simulation: SimulatedScheduling;
  /** When who was tried, in seconds since noon. */
  readonly tried: readonly [second: number, recipient: string][];
  /** The operator of the host mends it. */
  says: Failure | undefined;
}

function refusing(says: Failure, options: Parameters<typeof simulatedScheduling>[0] = { scheduler: EXACT }): Refusing {
  const simulation = simulatedScheduling(options);
  const tried: [number, string][] = [];
  const world: Refusing = { simulation, tried, says };
  for (const domain of ["example.org", "filter.example"])
    simulation.world.setDomain(domain, [
      {
        name: "mx",
        ip: "192.0.2.1",
        connectMs: 0,
        transactMs: 2 * SECOND,
        onEnvelope: (envelope, recipient) => {
          tried.push([Math.floor((simulation.clock.now() - NOON) / SECOND), recipient]);
          const sender = simulation.scheduler.state.tickets.get(envelope)?.message.sender;
          return sender === SENDER ? world.says : undefined;
        },
      },
    ]);
  return world;
}

async function sendFive({ simulation }: Refusing, action = "relay"): Promise<void> {
  for (let n = 0; n < 5; n++) await simulation.send({ from: SENDER, to: [`user${n}@example.org`], action });
}

test("who asks for a retry now has the host asked again about a sender that it refused", async () => {
  for (const [says, selector] of [
    [notNow, { by: "sender", sender: "X@sender.example" }],
    [atMail(450, "4.7.1", "try again in 24 hours"), { by: "domain", domain: "example.org" }],
    [notNow, { by: "all" }],
  ] as const) {
    const world = refusing(says);
    const { clock, scheduler, world: hosts } = world.simulation;
    await sendFive(world);
    // Its session is still open.
    await clock.advance(4 * SECOND);
    assert.equal(world.tried.length, 1);
    world.says = undefined;
    assert.equal((await scheduler.command({ do: "retryNow", selector })).envelopes, 5);
    await clock.advance(30 * SECOND);
    assert.equal(hosts.delivered.size, 5, selector.by);
  }
});

test("a retry of one sender's mail says nothing about another one that is refused there", async () => {
  const world = refusing(notNow);
  const { clock, scheduler } = world.simulation;
  await sendFive(world);
  await clock.advance(10 * SECOND);
  await scheduler.command({ do: "retryNow", selector: { by: "sender", sender: "other@sender.example" } });
  await world.simulation.send({ from: SENDER, to: ["late@example.org"] });
  await clock.advance(10 * SECOND);
  assert.equal(world.tried.length, 1);
});

test("whom a host refused for good is asked about again when an operator says so, by sender or by route", async () => {
  for (const [times, says] of [
    [3, atMail(550, "5.7.1", "sender refused")],
    [1, atMail(550, "5.1.8", "bad sender's address")],
  ] as const) {
    for (const by of ["sender", "route"] as const) {
      const world = refusing(says);
      const { clock, scheduler, notices, world: hosts } = world.simulation;
      // Somebody else's mail keeps the relay in the books.
      const keepBusy = async (): Promise<void> => {
        await world.simulation.send({ from: "good@sender.example", to: ["good@example.org"] });
        await clock.advance(3 * SECOND);
      };
      const tries = (): number => world.tried.filter(([, recipient]) => recipient !== "good@example.org").length;
      for (let n = 0; n < 5; n++) {
        await world.simulation.send({ from: SENDER, to: [`user${n}@example.org`] });
        await keepBusy();
      }
      assert.equal(tries(), times);
      assert.equal(notices.length, 5);
      world.says = undefined;
      if (by === "route") assert.ok((await scheduler.forgive("mx")) > 0);
      else await scheduler.command({ do: "retryNow", selector: { by, sender: SENDER } });
      const before = hosts.delivered.size;
      await world.simulation.send({ from: SENDER, to: ["again@example.org"] });
      await clock.advance(10 * SECOND);
      assert.equal(notices.length, 5);
      assert.equal(hosts.delivered.size, before + 1);
    }
  }
});

test("resume route frees what waits for a sender that is refused there, long after the last session", async () => {
  for (const which of ["mx", "mx[192.0.2.1]:25", "192.0.2.1"]) {
    const world = refusing(notNow);
    const { clock, scheduler, world: hosts } = world.simulation;
    await sendFive(world);
    await clock.advance(2 * MINUTE);
    world.says = undefined;
    assert.equal(await scheduler.forgive(which), 1, which);
    await clock.advance(30 * SECOND);
    assert.ok(hosts.delivered.size >= 4, `${hosts.delivered.size} at once`);
    await clock.advance(5 * MINUTE);
    assert.equal(hosts.delivered.size, 5);
    assert.equal(await scheduler.forgive(which), 0);
  }
});

test("resume route frees the mail that was refused itself, too, and knows its relay by its domain, with the usual spread", async () => {
  for (const which of ["example.org", "mx"])
    for (const [most, afterMs] of [
      [1, 2 * MINUTE],
      [5, 2 * MINUTE],
      [5, 6 * MINUTE],
    ] as const) {
      const world = refusing(notNow, {});
      const { clock, scheduler, world: hosts } = world.simulation;
      for (let n = 0; n < most; n++) await world.simulation.send({ from: SENDER, to: [`user${n}@example.org`] });
      await world.simulation.send({ from: SENDER, to: ["later@example.org"] });
      await clock.advance(afterMs);
      const later = [...scheduler.state.tickets.values()].find(({ recipient }) => recipient.startsWith("later"));
      assert.ok(later !== undefined);
      await scheduler.command({
        do: "schedule",
        at: clock.now() + 5 * HOUR,
        selector: { by: "envelope", id: later.id },
      });
      world.says = undefined;
      assert.equal(await scheduler.forgive(which), 1, `${which} after ${afterMs} ms`);
      await clock.advance(30 * SECOND);
      assert.equal(hosts.delivered.size, most, which);
      assert.equal(scheduler.state.tickets.size, 1);
      assert.equal(await scheduler.forgive(which), 0);
    }
});

test("what a refused sender's mail waits for is on the disk and told, also when nobody remembers the relay any more", async () => {
  const world = refusing(notNow);
  const { clock, scheduler, store } = world.simulation;
  await sendFive(world);
  await clock.advance(2 * MINUTE);
  const rows = await store.list({});
  const refusedAt = (rows.find(({ attempts }) => attempts === 1)?.dueAt ?? 0) - 400 * SECOND;
  assert.equal(rows.filter(({ attempts }) => attempts === 0).length, 4);
  for (const row of rows) {
    assert.equal(row.dueAt, refusedAt + 400 * SECOND);
    assert.match(row.lastFailure === undefined ? "" : failureText(row.lastFailure), /sender refused/);
  }
  for (const isRestarted of [false, true]) {
    if (isRestarted) scheduler.state.relays.clear();
    for (const { envelope, lastFailure, attempts } of rows) {
      if (attempts > 0) continue;
      const ticket = scheduler.state.tickets.get(envelope);
      assert.ok(ticket !== undefined);
      const [first] = hindrancesOf(scheduler.state, ticket, lastFailure);
      assert.match(first?.text ?? "", /its sender <x@sender\.example> (is|was) refused.*sender refused/);
      assert.equal(first?.untilAt, refusedAt + 400 * SECOND);
    }
  }
  // Nothing of it stays behind.
  world.says = undefined;
  await clock.advance(HOUR);
  assert.equal(scheduler.state.tickets.size, 0);
  assert.equal(scheduler.state.relays.size, 0);
});

test("a refused sender's mail waits as long as the first of it by its own schedule: its domain's, or a content filter's", async () => {
  const perMinute = refusing(notNow, {
    scheduler: EXACT,
    route: { shaping: { "example.org": { retry: { by: "list", waits: ["1m"] } } } },
  });
  await sendFive(perMinute);
  await perMinute.simulation.clock.advance(50 * SECOND);
  perMinute.says = undefined;
  await perMinute.simulation.clock.advance(30 * SECOND);
  assert.equal(perMinute.simulation.world.delivered.size, 5);

  const filtered = refusing(notNow, {
    scheduler: EXACT,
    actions: {
      deliver: { kind: "deliver", as: "maildir" },
      ...contentFilterActions({
        listeners: [{ name: "smtp", contentFilter: { to: ["smtp://filter.example:10025"], connections: 2 } }],
      }),
    },
  });
  await sendFive(filtered, "content-filter:smtp");
  await filtered.simulation.clock.advance(8 * SECOND);
  filtered.says = undefined;
  await filtered.simulation.clock.advance(20 * SECOND);
  assert.equal(filtered.simulation.world.delivered.size, 5);
});

test("the mail that was refused is not put off past its own time", async () => {
  // By the list the second wait is shorter than the first.
  const world = refusing(notNow, { scheduler: { retry: { spread: 0, relay: { by: "list", waits: ["1h", "10m"] } } } });
  await world.simulation.send({ from: SENDER, to: ["user@example.org"] });
  await world.simulation.clock.advance(2 * HOUR + MINUTE);
  const seconds = world.tried.map(([second]) => second - (world.tried[0]?.[0] ?? 0));
  assert.deepEqual(
    seconds.map((second) => Math.round(second / 60)),
    [0, 60, 70, 80, 90, 100, 110, 120],
  );
});

test("while a sender is refused for now its mail is written and told once, and its host asked more and more seldom", async () => {
  const world = refusing(notNow);
  const { clock, emitted, scheduler } = world.simulation;
  const most = 100;
  for (let n = 0; n < most; n++) await world.simulation.send({ from: SENDER, to: [`user${n}@example.org`] });
  await clock.advance(24 * HOUR);
  const told = emitted.filter(({ fields }) => fields["status"] === "deferred").length;
  const rounds = new Set(world.tried.map(([second]) => Math.round(second / 300))).size;
  assert.ok(rounds >= 20 && rounds <= 30, `${rounds} rounds in a day`);
  assert.ok(world.tried.length <= 5 * rounds, `${world.tried.length} tried in a day`);
  assert.ok(told <= most + world.tried.length, `${told} lines`);
  assert.equal(scheduler.state.since.deferred, told);
  world.says = undefined;
  await clock.advance(HOUR + MINUTE);
  // Some were refused themselves, again and again.
  assert.ok(scheduler.state.tickets.size <= 10, `${scheduler.state.tickets.size} left after an hour`);
  await clock.advance(7 * HOUR);
  assert.equal(scheduler.state.tickets.size, 0);
  // After a welcome it begins anew.
  world.says = notNow;
  const before = world.tried.length;
  await sendFive(world);
  await clock.advance(9 * MINUTE);
  assert.ok(world.tried.length >= before + 2);
});

test("mail that waits for its sender only some seconds has its reason on the disk, too, written once", async () => {
  const world = refusing(atMail(450, "4.7.1", "try again in 5 seconds"));
  const { clock, store, emitted } = world.simulation;
  await sendFive(world);
  await clock.advance(5 * SECOND);
  assert.equal(world.tried.length, 1);
  for (const { lastFailure } of await store.list({}))
    assert.match(lastFailure === undefined ? "" : failureText(lastFailure), /try again in 5 seconds/);
  await clock.advance(HOUR);
  assert.ok(world.tried.length <= 50, `${world.tried.length} tried in an hour`);
  const told = emitted.filter(({ fields }) => fields["status"] === "deferred").length;
  assert.ok(told <= 5 + world.tried.length, `${told} lines for ${world.tried.length} tries`);
});
