import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable } from "../../simulator/deliveries.ts";
import type { Failure } from "../envelope/failure.ts";
import { NOON, simulatedScheduling, type SimulatedMail } from "../../simulator/scheduling.ts";
import { createSchedulerAdmin } from "./admin/admin.io.ts";
import { earliestOf } from "./admin/hindrances.ts";
import type { ShowPlace } from "./admin/shown-row.ts";
import type { ShowFilter } from "./admin/shown-row.ts";
import type { ShownRow } from "./admin/shown-row.ts";

const MINUTE = 60_000;
const down = { name: "mx.down.test", ip: "192.0.2.1", connectMs: 0, onConnect: () => unreachable("192.0.2.1") };
const up = { name: "mx.up.test", ip: "192.0.2.2" };
const origins = () => ({ file: "posthorn.yaml", places: { "scheduler.retry.relay": { line: 12, column: 5 } } });

function world() {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin({ ...simulation, origins });
  simulation.world.setDomain("down.test", [down]);
  simulation.world.setDomain("up.test", [up]);
  const { clock, store, world: hosts } = simulation;
  return { clock, store, hosts, admin, send: (mail: SimulatedMail) => simulation.send(mail) };
}

async function allRows(admin: ReturnType<typeof createSchedulerAdmin>, filter: ShowFilter) {
  const rows: ShownRow[] = [];
  let pages = 0;
  let place: ShowPlace | undefined;
  do {
    const page = await admin.shown(filter, place);
    rows.push(...page.rows);
    pages++;
    place = page.next;
  } while (place !== undefined);
  return { rows, pages };
}

test("rows say what rests and why, what worked and when, and what waits there; trouble comes first", async () => {
  const { send, clock, admin } = world();
  await send({ to: ["a@down.test", "b@down.test"] });
  await send({ to: ["a@up.test"] });
  await clock.advance(5000);
  const { rows: routes } = await allRows(admin, { what: "routes" });
  assert.deepEqual(
    routes.map(({ name, states, penalty, failures, sessions }) => [name, states, penalty, failures, sessions]),
    [
      ["* > mx.down.test[192.0.2.1]:25", ["resting"], 1, 1, 0],
      ["* > mx.up.test[192.0.2.2]:25", [], 0, 0, 1],
    ],
  );
  const [bad, good] = routes;
  assert.match(bad?.lastFailure ?? "", /Connection timed out/);
  assert.ok((bad?.restsUntilAt ?? 0) > clock.now() && (good?.lastSuccessAt ?? 0) >= NOON);
  const { rows: relays } = await allRows(admin, { what: "relays" });
  const waiting = relays.find(({ name }) => name.endsWith("down.test"));
  await send({ to: ["c@down.test"] });
  await clock.advance(3000);
  const [resting] = (await allRows(admin, { what: "relays", state: "resting" })).rows;
  assert.deepEqual([resting?.name, resting?.penalty, resting?.ready], ["mx.down.test", 1, 1]);
  assert.deepEqual([waiting?.waiting, waiting?.ready, waiting?.states.includes("queued")], [2, 0, true]);
  const { rows: hosts } = await allRows(admin, { what: "hosts", state: "resting" });
  assert.deepEqual(
    hosts.map(({ name }) => name),
    ["mx.down.test[192.0.2.1]:25"],
  );
  const { rows: domains } = await allRows(admin, { what: "domains", name: "DOWN" });
  assert.deepEqual(
    domains.map(({ name, waiting: many, limit }) => [name, many, limit]),
    [["down.test", 2, 100]],
  );
  assert.equal((await allRows(admin, { what: "sources" })).rows[0]?.name, "*");
});

test("thousands of rows come in pages, each of them once, and a filter counts what it lets through", async () => {
  const { send, clock, admin } = world();
  await admin.pause("out", "a look");
  for (let at = 0; at < 90; at++)
    await send({ to: Array.from({ length: 50 }, (_, one) => `x@d${String(at * 50 + one).padStart(4, "0")}.test`) });
  await clock.advance(3000);
  const { rows, pages } = await allRows(admin, { what: "relays" });
  assert.equal(rows.length, 4500);
  assert.equal(new Set(rows.map(({ name }) => name)).size, 4500);
  assert.equal(pages, 3);
  const some = await allRows(admin, { what: "domains", name: "d000" });
  assert.equal(some.rows.length, 10);
  assert.equal((await admin.shown({ what: "relays", limit: 7 })).rows.length, 7);
  assert.equal((await allRows(admin, { what: "relays", state: "resting" })).rows.length, 0);
});

test("counters go on for ever and know the last minute and the last hour", async () => {
  const { send, clock, admin } = world();
  await send({ to: ["a@down.test"] });
  await send({ to: ["a@up.test"] });
  await clock.advance(MINUTE);
  const of = async (name: string) => (await admin.stats()).find((one) => one.name === name);
  assert.deepEqual(await of("delivered"), { name: "delivered", total: 1, lastMinute: 1, lastHour: 1 });
  assert.deepEqual(await of("failure connect"), { name: "failure connect", total: 1, lastMinute: 1, lastHour: 1 });
  assert.equal((await of("queued"))?.total, 2);
  await clock.advance(61 * MINUTE);
  assert.deepEqual(await of("delivered"), { name: "delivered", total: 1, lastMinute: 0, lastHour: 0 });
});

test("an operator's instant is when an envelope is tried, durably, and never after its expiry", async () => {
  const { send, clock, admin, store, hosts } = world();
  const id = await send({ to: ["a@down.test"] });
  await clock.advance(1000);
  const at = NOON + 3 * 3_600_000;
  assert.deepEqual(await admin.schedule({ by: "message", id }, at), { envelopes: 1 });
  assert.equal((await store.list({ message: id }))[0]?.dueAt, at);
  hosts.setDomain("down.test", [up]);
  await clock.advance(at - clock.now() - 1000);
  assert.equal(hosts.delivered.size, 0);
  await clock.advance(20_000);
  assert.equal(hosts.delivered.get(`${id}.1`), 1);

  await admin.pause("out", "a look");
  const late = await send({ to: ["a@up.test"] });
  await clock.advance(1000);
  await admin.schedule({ by: "message", id: late }, clock.now() + 90 * 86_400_000);
  const [row] = await store.list({ message: late });
  assert.equal(row?.dueAt, row?.expiresAt);
});

test("a route that an operator resumes owes nothing and is tried at once", async () => {
  const { send, clock, admin, hosts } = world();
  let isDown = true;
  hosts.setDomain("down.test", [{ ...down, onConnect: () => (isDown ? unreachable("x") : undefined) }]);
  await send({ to: ["a@down.test"] });
  await clock.advance(1000);
  const id = await send({ to: ["b@down.test"] });
  await clock.advance(100);
  isDown = false;
  assert.deepEqual(await admin.forgive("mx.nobody.test"), { routes: 0 });
  assert.deepEqual(await admin.forgive("* > mx.down.test[192.0.2.1]:25"), { routes: 1 });
  await clock.advance(100);
  assert.equal(hosts.delivered.get(`${id}.1`), 1);
  assert.equal((await admin.shown({ what: "routes" })).rows[0]?.penalty, 0);
});

test("why: a message's envelopes are grouped where the same holds them, with the setting's place and the earliest time", async () => {
  const { send, clock, admin } = world();
  const id = await send({ to: [...Array.from({ length: 60 }, (_, at) => `u${at}@down.test`), "one@down.test"] });
  await clock.advance(1000);
  await admin.hold({ by: "envelope", id: `${id}.61` }, "a look");
  const report = await admin.whyAll(id);
  assert.deepEqual(
    report?.groups.map(({ count, state }) => [count, state]),
    [
      [60, "waiting"],
      [1, "held"],
    ],
  );
  const [waiting, held] = report?.groups ?? [];
  assert.deepEqual(
    waiting?.hindrances.map(({ what, origin }) => [what, origin]),
    [["not-due", "posthorn.yaml:12:5"]],
  );
  assert.equal(waiting?.attempts, 1);
  assert.match(waiting?.lastFailure ?? "", /Connection timed out/);
  assert.equal(Math.floor(((waiting?.earliestAt ?? 0) - NOON) / 1000), 400);
  assert.equal(held?.earliestAt, undefined);
  assert.equal(held?.envelopes[0]?.recipient, "one@down.test");
  assert.equal((await admin.whyAll(`${id}.3`))?.groups[0]?.count, 1);
  assert.equal(await admin.whyAll("00000000000"), undefined);
});

test("why, show: what a greylisting host or an own limit holds up says so, with its setting", async () => {
  const simulation = simulatedScheduling({
    scheduler: { retry: { spread: 0 } },
    route: { greylisting: { strategy: "batch", after: 5 } },
  });
  const admin = createSchedulerAdmin({ ...simulation, origins });
  const { clock, world: hosts } = simulation;
  const reply = { code: 450, status: "4.2.0", lines: ["Greylisted"] };
  const onEnvelope = (): Failure => ({
    lasting: "temporary",
    status: "4.2.0",
    cause: { kind: "reply", during: "RCPT" },
    reply,
    host: "mx.grey.test[192.0.2.3]:25",
  });
  hosts.setDomain("grey.test", [{ name: "mx.grey.test", ip: "192.0.2.3", onEnvelope }]);
  hosts.setDomain("slow.test", [{ name: "mx.slow.test", ip: "192.0.2.4", transactMs: 60_000 }]);
  const grey: string[] = [];
  for (let at = 0; at < 30; at++) grey.push(await simulation.send({ to: [`u${at}@grey.test`] }));
  const slow = [await simulation.send({ to: ["a@slow.test"] }), await simulation.send({ to: ["b@slow.test"] })];
  await clock.advance(5000);
  const reasons = await Promise.all(grey.map((id) => admin.why(`${id}.1`)));
  // Some were refused and wait for their next attempt; the rest was not tried at all.
  const [held] = reasons.find((one) => one?.[0]?.what === "greylisted") ?? [];
  assert.ok(held !== undefined, JSON.stringify(reasons));
  assert.match(held.text, /^mx\.grey\.test greylists: \d+ refused, .*450 4\.2\.0 Greylisted/);
  assert.ok((held.untilAt ?? 0) > clock.now());
  const [row] = (await allRows(admin, { what: "relays", name: "grey" })).rows;
  assert.ok(row?.states.includes("resting") && (row.refused ?? 0) >= 5, JSON.stringify(row));
  assert.match(row?.note ?? "", /greylists: resting/);
  const full = await admin.why(`${slow[1]}.1`);
  assert.deepEqual(
    full?.map(({ what, setting }) => [what, setting?.join(".")]),
    [
      ["limit", "route.limits.relay"],
      ["queue", undefined],
    ],
  );
  assert.match(
    full?.[0]?.text ?? "",
    /^1 of 1 connections for mx\.slow\.test are open; more when they have worked, up to 100$/,
  );
  const tried = await admin.why(`${slow[0]}.1`);
  assert.match(
    tried?.[0]?.text ?? "",
    /^it is being tried at mx\.slow\.test\[192\.0\.2\.4\]:25, session s\w+, for [3-5] s now/,
  );
});

test("why: a wait that the host asked for, or that greylisting makes, is not said to come from the schedule", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin({ ...simulation, origins });
  const refuse = (text: string, during = "RCPT", code = 450): Failure => ({
    lasting: "temporary",
    status: "4.2.0",
    cause: { kind: "reply", during },
    reply: { code, status: undefined, lines: [text] },
    host: "mx.test[192.0.2.3]:25",
  });
  const { world: hosts, clock } = simulation;
  hosts.setDomain("told.test", [{ name: "t", ip: "192.0.2.3", onEnvelope: () => refuse("try again in 300 seconds") }]);
  hosts.setDomain("grey.test", [{ name: "g", ip: "192.0.2.4", onEnvelope: () => refuse("not yet") }]);
  const closing = refuse("closing, try again in 10 minutes", "greeting", 421);
  hosts.setDomain("closed.test", [{ name: "c", ip: "192.0.2.5", onConnect: () => closing }]);
  const told = await simulation.send({ to: ["a@told.test"] });
  const grey = await simulation.send({ to: Array.from({ length: 8 }, (_, n) => `u${n}@grey.test`) });
  await simulation.send({ to: ["a@closed.test"] });
  await clock.advance(1000);
  const resting = await simulation.send({ to: ["b@closed.test"] });
  await clock.advance(1000);
  const saidOf = async (id: string) =>
    ((await admin.why(id)) ?? []).map(({ text, setting }) => [text, setting?.join(".")]);
  const asked = ["waits after attempt 1; the host asked for 300 s", undefined];
  assert.deepEqual(await saidOf(`${told}.1`), [asked]);
  assert.deepEqual(
    (await admin.whyAll(told))?.groups[0]?.hindrances.map(({ text, origin }) => [text, origin]),
    [asked],
  );
  assert.deepEqual(await saidOf(`${grey}.8`), [
    ["waits after attempt 1; the host seems to greylist", "route.greylisting.probe"],
  ]);
  const [[text = "", setting] = []] = await saidOf(`${resting}.1`);
  assert.match(text, /^every next host rests: .*try again in 10 minutes/);
  assert.equal(setting, undefined);
});

test("why: an instant that an operator chose is said to be that", async () => {
  const { send, clock, admin } = world();
  const id = await send({ to: ["u@down.test"] });
  await clock.advance(1000);
  await admin.schedule({ by: "message", id }, NOON + 60 * MINUTE);
  await clock.advance(1000);
  const [first] = (await admin.why(`${id}.1`)) ?? [];
  assert.deepEqual([first?.text, first?.setting], ["an operator chose when it is due", undefined]);
});

test("a route is resumed by our own address, too, wherever that was refused", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1"] } });
  const admin = createSchedulerAdmin({ ...simulation, origins });
  for (const n of [1, 2])
    simulation.world.setDomain(`d${n}.test`, [{ ...down, name: `mx${n}.test`, ip: `192.0.2.${n}` }]);
  await simulation.send({ to: ["a@d1.test", "a@d2.test"] });
  await simulation.clock.advance(1000);
  assert.match(simulation.lines.join("\n"), /route 198\.51\.100\.1 > mx1\.test\[192\.0\.2\.1\]:25 rests/);
  assert.deepEqual(await admin.forgive("198.51.100.1"), { routes: 2 });
});

test("the earliest time is the latest of all ends, and unknown when somebody must do something first", () => {
  assert.equal(
    earliestOf(
      [
        { what: "not-due", text: "", untilAt: 50 },
        { what: "route-rests", text: "", untilAt: 90 },
        { what: "queue", text: "" },
      ],
      10,
    ),
    90,
  );
  assert.equal(
    earliestOf(
      [
        { what: "not-due", text: "", untilAt: 50 },
        { what: "paused", text: "" },
      ],
      10,
    ),
    undefined,
  );
  assert.equal(earliestOf([{ what: "not-due", text: "", untilAt: 5 }], 10), 10);
});
