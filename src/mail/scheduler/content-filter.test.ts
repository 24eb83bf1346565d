import assert from "node:assert/strict";
import { test } from "node:test";
import type { Failure } from "../envelope/failure.ts";
import { contentFilterActions } from "../envelope/content-filter.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { coreSettings, simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { SimulatedHost } from "../../simulator/deliveries.ts";
import { hindrancesOf } from "./admin/hindrances.ts";

const SECOND = 1000;
const NAME = "content-filter:smtp";

const down: Failure = {
  lasting: "temporary",
  status: "4.4.1",
  cause: { kind: "connect", reason: "refused", text: "Connection refused" },
};

const own = { relay: { kind: "relay", to: [], backup: false }, deliver: { kind: "deliver", as: "maildir" } } as const;

function filtering(host: Partial<SimulatedHost> = {}, connections = 2): SimulatedScheduling {
  const contentFilter = { to: ["smtp://filter.example:10025"], connections };
  const withFilter = { ...own, ...contentFilterActions({ listeners: [{ name: "smtp", contentFilter }] }) };
  const simulation = simulatedScheduling({
    scheduler: { retry: { spread: 0 } },
    actions: withFilter,
    forwards: {
      expand: () => Promise.reject(new Error("nobody forwards here")),
      place: async (_message, { recipient }) => ({
        kind: "envelopes",
        envelopes: [{ recipient, notify: [], action: "deliver" }],
      }),
    },
  });
  simulation.world.setDomain("filter.example", [{ name: "filter.example", ip: "127.0.0.1", ...host }]);
  return simulation;
}

test("all recipients of a mail go to the filter in one transaction, which is told who gave it", async () => {
  const asked: unknown[] = [];
  const simulation = filtering({ onConnect: ({ xforward, tls }) => void asked.push([xforward, tls]) });
  const { world, clock } = simulation;
  const id = await simulation.send({ to: ["a@one.example", "b@two.example"], action: NAME });
  await clock.advance(10 * SECOND);
  assert.deepEqual(
    world.happenings.filter(({ what }) => what === "transact").map(({ envelopes }) => envelopes),
    [[`${id}.1`, `${id}.2`]],
  );
  assert.deepEqual(asked, [[true, "never"]]);
});

test("a filter that was down for hours has its mail within a minute or two of its return", async () => {
  let isDown = true;
  const simulation = filtering({ onConnect: () => (isDown ? down : undefined) });
  const { world, clock, scheduler } = simulation;
  const id = await simulation.send({ to: ["a@one.example"], action: NAME });
  await clock.advance(30 * SECOND);
  const ticket = scheduler.state.tickets.get(`${id}.1`);
  assert.ok(ticket !== undefined);
  const [first] = hindrancesOf(scheduler.state, ticket);
  assert.equal(first?.what, "not-due");
  assert.deepEqual(first.setting, ["scheduler", "retry", "local"]);
  await clock.advance(3 * 3600 * SECOND);
  for (const route of scheduler.state.routes.values())
    assert.ok(route.penalty.restsUntilAt - clock.now() <= 60 * SECOND, "it rests for a minute at most");
  isDown = false;
  const later = await simulation.send({ to: ["b@one.example"], action: NAME });
  await clock.advance(61 * SECOND);
  assert.ok(world.delivered.has(`${later}.1`), "what comes later waits for the route only");
  await clock.advance(10 * SECOND);
  assert.ok(world.delivered.has(`${id}.1`), "the first that goes through wakes the others");
  assertSchedulerInvariants(scheduler.state);
});

test("a filter gets as many connections as its settings say, however much there is, and whatever strangers get", async () => {
  for (const connections of [2, 12]) {
    const simulation = filtering({}, connections);
    for (let count = 0; count < 400; count++) await simulation.send({ to: [`a${count}@one.example`], action: NAME });
    await simulation.clock.advance(120 * SECOND);
    assert.equal(simulation.world.connections.get("127.0.0.1")?.most, connections);
    assert.equal(simulation.world.delivered.size, 400);
  }
});

test("a mail with hundreds of recipients in as many domains is filtered once", async () => {
  const simulation = filtering();
  const to = Array.from({ length: 700 }, (_, at) => `a@domain${at}.example`);
  await simulation.send({ to, action: NAME });
  await simulation.clock.advance(60 * SECOND);
  const transactions = simulation.world.happenings.filter(({ what }) => what === "transact");
  assert.deepEqual(
    transactions.map(({ envelopes }) => envelopes.length),
    [700],
  );
});

test("mail whose filter is taken out of the settings is placed by the rules, and goes on from there", async () => {
  const simulation = filtering({ onConnect: () => down });
  const { world, clock, scheduler, store, lines } = simulation;
  const id = await simulation.send({ to: ["a@one.example", "b@two.example"], action: NAME });
  await clock.advance(30 * SECOND);
  scheduler.reload({ ...simulation.settings, plans: coreSettings({ actions: own }).plans });
  await clock.advance(300 * SECOND);
  assert.deepEqual([...world.delivered.keys()].sort(), [`${id}.3`, `${id}.4`]);
  assert.deepEqual(await store.list({}), []);
  assert.ok(
    lines.some((line) => line.includes("its content filter is not in the settings any more")),
    lines.join("\n"),
  );
  assertSchedulerInvariants(scheduler.state);
});

test("mail whose filter has another address in new settings goes there", async () => {
  const simulation = filtering({ onConnect: () => down });
  const { world, clock, scheduler } = simulation;
  world.setDomain("other.example", [{ name: "other.example", ip: "127.0.0.2" }]);
  const id = await simulation.send({ to: ["a@one.example"], action: NAME });
  await clock.advance(30 * SECOND);
  const moved = contentFilterActions({
    listeners: [{ name: "smtp", contentFilter: { to: ["smtp://other.example"], connections: 2 } }],
  });
  scheduler.reload({ ...simulation.settings, plans: coreSettings({ actions: { ...own, ...moved } }).plans });
  await clock.advance(120 * SECOND);
  assert.deepEqual([...world.delivered.keys()], [`${id}.1`]);
});
