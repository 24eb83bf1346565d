import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../simulator/deliveries.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { hindrancesOf } from "./admin/hindrances.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const later: Failure = {
  lasting: "temporary",
  status: "4.2.0",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(450, "4.2.0", "try again later"),
  host: "mx.example.org[192.0.2.1]:25",
};
const noSuchUser: Failure = {
  lasting: "permanent",
  status: "5.1.1",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(550, "5.1.1", "No such user"),
  host: "mx.example.org[192.0.2.1]:25",
};
const host = (ip: string, more: Partial<SimulatedHost> = {}): SimulatedHost => ({ name: `mx-${ip}`, ip, ...more });
/** Waits are exact where nothing spreads them. */
const EXACT = { retry: { spread: 0 } };

function at(simulation: SimulatedScheduling, what: string): readonly number[] {
  return simulation.world.happenings.filter((one) => one.what === what).map((one) => one.at - NOON);
}

test("a mail is delivered, leaves the queue, and the log tells its story as Postfix would", async () => {
  const simulation = simulatedScheduling();
  const { world, clock, store, lines } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { name: "mx.example.org", connectMs: 100, transactMs: 110 })]);
  const id = await simulation.send({ to: ["jane@example.org"], envelope: { givenRecipient: "office@example.org" } });
  await clock.advance(MINUTE);
  assert.equal(world.delivered.get(`${id}.1`), 1);
  assert.deepEqual(await store.list({}), []);
  assert.deepEqual(lines, [
    `qmgr: ${id}: from=<sender@mail.example>, size=29, nrcpt=1 (queue active)`,
    `smtp: ${id}: to=<jane@example.org>, orig_to=<office@example.org>, relay=mx.example.org[192.0.2.1]:25, ` +
      `delay=0.21, delays=0/0/0.1/0.11, dsn=2.0.0, status=sent (250 2.0.0 Ok)`,
    `qmgr: ${id}: removed`,
  ]);
});

test("retries wait 400 s times the square of the attempt's number", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onEnvelope: () => later, transactMs: 0, connectMs: 0 }),
  ]);
  await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(4 * HOUR);
  // Resolving takes one millisecond, at each attempt.
  const tried = at(simulation, "transact").map((ms) => Math.floor(ms / SECOND));
  assert.deepEqual(tried, [0, 400, 400 + 1600, 400 + 1600 + 3600, 400 + 1600 + 3600 + 6400]);
});

test("a wait is spread by up to a tenth, and never shortened", async () => {
  const simulation = simulatedScheduling({ route: { greylisting: { strategy: "none" } } });
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onEnvelope: () => later, transactMs: 0, connectMs: 0 }),
  ]);
  for (let n = 0; n < 50; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await simulation.clock.advance(SECOND);
  const waits = (await simulation.store.list({})).map((row) => row.dueAt - NOON);
  assert.equal(waits.length, 50);
  assert.ok(waits.every((wait) => wait >= 400 * SECOND && wait <= 441 * SECOND));
  assert.ok(new Set(waits.map((wait) => Math.floor(wait / SECOND))).size > 10);
});

test("local delivery is retried after 10 s times the square", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  simulation.world.localMs = 0;
  simulation.world.onLocal = () => later;
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await simulation.clock.advance(3 * MINUTE);
  assert.deepEqual(at(simulation, "local"), [0, 10_000, 50_000, 140_000]);
});

test("other schedules: a list whose last wait repeats, and exponential with a cap", async () => {
  for (const [relay, expected] of [
    [{ by: "list", waits: ["1m", "5m"] }, [0, 60, 360, 660, 960]],
    [{ by: "exponential", first: "1m", factor: 2, longest: "4m" }, [0, 60, 180, 420, 660, 900]],
  ] as const) {
    const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0, relay } } });
    simulation.world.setDomain("example.org", [
      host("192.0.2.1", { onEnvelope: () => later, transactMs: 0, connectMs: 0 }),
    ]);
    await simulation.send({ to: ["jane@example.org"] });
    await simulation.clock.advance(1000 * SECOND);
    assert.deepEqual(
      at(simulation, "transact").map((ms) => Math.floor(ms / SECOND)),
      expected,
    );
  }
});

test("an envelope expires after its time with one last attempt at the very end, and the bounce is in the queue", async () => {
  const simulation = simulatedScheduling({ scheduler: { ...EXACT, expireAfter: "1h", warnAfter: "0s" } });
  const { clock, world, notices, lines } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later, transactMs: 0, connectMs: 0 })]);
  const id = await simulation.send({ to: ["jane@example.org"] });
  await clock.advance(HOUR - SECOND);
  assert.equal(notices.length, 0);
  await clock.advance(2 * SECOND);
  assert.deepEqual(
    at(simulation, "transact").map((ms) => Math.floor(ms / SECOND)),
    [0, 400, 2000, 3600],
  );
  assert.deepEqual(
    notices.map((notice) => notice.kind),
    ["bounce"],
  );
  const about = notices[0]?.about[0];
  assert.equal(about?.failure?.cause.kind, "expired");
  assert.equal(about?.before?.reply?.code, 450);
  assert.ok(lines.includes(`qmgr: ${id}: from=<sender@mail.example>, status=expired, returned to sender`));
  assert.ok(lines.includes(`qmgr: ${id}: removed`));
  // The bounce was committed with the removal and has been delivered locally since.
  assert.equal(world.happenings.filter((one) => one.what === "local").length, 1);
});

test("the sender is warned once, four hours after reception, and told how long we go on", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later })]);
  await simulation.send({ to: ["jane@example.org", "john@example.org"] });
  await simulation.clock.advance(4 * HOUR - SECOND);
  assert.equal(simulation.notices.length, 0);
  await simulation.clock.advance(2 * SECOND);
  assert.deepEqual(
    simulation.notices.map(({ kind, about }) => [kind, about.length]),
    [["delay", 2]],
  );
  const about = simulation.notices[0]?.about[0];
  assert.equal(about?.failure?.reply?.code, 450);
  assert.equal(about?.retryUntilAt, NOON + 4 * DAY);
  await simulation.clock.advance(3 * DAY);
  assert.equal(simulation.notices.length, 1);
});

test("nobody is warned who does not want it, and never the null sender", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later })]);
  await simulation.send({ to: ["jane@example.org"], envelope: { notify: ["FAILURE"] } });
  await simulation.send({ from: "", to: ["jane@example.org"] });
  await simulation.clock.advance(3 * DAY);
  assert.equal(simulation.notices.length, 0);
});

test("a permanent failure of one recipient bounces that one; the others are delivered", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onEnvelope: (_, recipient) => (recipient.startsWith("nobody") ? noSuchUser : undefined) }),
  ]);
  const id = await simulation.send({ to: ["jane@example.org", "nobody@example.org", "john@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    [...simulation.world.delivered.keys()].filter((one) => one.startsWith(id)),
    [`${id}.1`, `${id}.3`],
  );
  assert.deepEqual(
    simulation.notices.map(({ kind, about }) => [kind, about.map((one) => one.envelope.recipient)]),
    [["bounce", ["nobody@example.org"]]],
  );
});

test("with the first two mail exchangers down the mail goes through the third, in one round", async () => {
  const simulation = simulatedScheduling();
  // Both take two minutes to time out: longer than the first one's rest.
  const down = { connectMs: 2 * MINUTE, onConnect: () => unreachable("x") };
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { preference: 10, ...down }),
    host("192.0.2.2", { preference: 20, ...down }),
    host("192.0.2.3", { preference: 30 }),
  ]);
  const id = await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(5 * MINUTE);
  assert.equal(simulation.world.delivered.get(`${id}.1`), 1);
  const connects = simulation.world.happenings.filter((one) => one.what === "connect").map((one) => one.where);
  assert.deepEqual(connects, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
});

test("when all hosts failed, everything due is deferred with one attempt each and the most telling failure", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const refused: Failure = {
    ...later,
    cause: { kind: "reply", during: "greeting" },
    reply: reply(421, "4.3.2", "busy"),
  };
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { preference: 10, onConnect: () => refused }),
    host("192.0.2.2", { preference: 20, onConnect: () => unreachable("192.0.2.2") }),
  ]);
  for (let n = 0; n < 3; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await simulation.clock.advance(10 * SECOND);
  const rows = await simulation.store.list({});
  assert.equal(rows.length, 3);
  for (const row of rows) {
    assert.equal(row.attempts, 1);
    assert.equal(row.lastFailure?.reply?.code, 421);
    assert.equal((await simulation.store.attempts(row.envelope)).length, 1);
  }
  assert.equal(simulation.world.happenings.filter((one) => one.what === "connect").length, 2);
  // The session that met it is named, so that its lines belong to the message's story.
  const told = simulation.emitted.filter((one) => one.fields["status"] === "deferred");
  assert.deepEqual(new Set(told.map((one) => one.fields["session"])), new Set(["s1"]));
});

test("new mail for a resting route waits for the route, without an attempt of its own", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  let isUp = false;
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { connectMs: 0, onConnect: () => (isUp ? undefined : unreachable("192.0.2.1")) }),
  ]);
  const first = await simulation.send({ to: ["first@example.org"] });
  await simulation.clock.advance(SECOND);
  isUp = true;
  const second = await simulation.send({ to: ["second@example.org"] });
  await simulation.clock.advance(13 * SECOND);
  assert.equal(simulation.world.delivered.size, 0);
  await simulation.clock.advance(2 * SECOND);
  // The route works again, so what had failed with it need not wait any more.
  assert.deepEqual([...simulation.world.delivered.keys()], [`${second}.1`, `${first}.1`]);
  assert.deepEqual(
    at(simulation, "connect").map((ms) => Math.floor(ms / SECOND)),
    [0, 15],
  );
});

test("a domain that does not exist bounces, one that cannot be looked up waits", async () => {
  const simulation = simulatedScheduling();
  const finding = { reason: "servfail", name: "b.example", type: "MX", server: "192.0.2.53:53", text: "" } as const;
  simulation.world.setDomain("b.example", { lasting: "temporary", status: "4.4.3", cause: { kind: "dns", finding } });
  await simulation.send({ to: ["a@no-such.example"] });
  await simulation.send({ to: ["b@b.example"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    simulation.notices.map((one) => one.about[0]?.failure?.cause.kind),
    ["no-such-domain"],
  );
  const rows = await simulation.store.list({});
  assert.deepEqual(
    rows.map((row) => [row.recipient, row.attempts]),
    [["b@b.example", 1]],
  );
});

test("a null-sender mail that fails for good is kept as dead for its time, then taken out, and both are told", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => noSuchUser })]);
  await simulation.send({ from: "", to: ["nobody@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual((await simulation.store.list({ state: "dead" })).length, 1);
  assert.equal(simulation.scheduler.state.counts.dead, 1);
  assert.equal(simulation.notices.length, 0);
  await simulation.clock.advance(30 * DAY);
  assert.deepEqual(await simulation.store.list({}), []);
  const names = simulation.emitted.map((one) => one.name);
  assert.ok(names.includes("queue.dead") && names.includes("queue.dead-removed"));
});

test("dead letters go to postmaster when set so, and what cannot reach postmaster is kept", async () => {
  const simulation = simulatedScheduling({ scheduler: { deadLetters: { to: "postmaster" } } });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => noSuchUser })]);
  simulation.world.onLocal = () => noSuchUser;
  await simulation.send({ from: "", to: ["nobody@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    simulation.notices.map((one) => [one.kind, one.to]),
    [["bounce", "postmaster@mail.example"]],
  );
  const dead = await simulation.store.list({ state: "dead" });
  assert.deepEqual(
    dead.map((row) => row.recipient),
    ["postmaster@mail.example"],
  );
});

test("postmaster's notices that fail make no others, whatever postmaster stands for, nor after a restart", async () => {
  const simulation = simulatedScheduling({ scheduler: { deadLetters: { to: "postmaster" } } });
  const { clock, store } = simulation;
  // A loop would have no end in a moment of virtual time.
  simulation.onNotice = () => (simulation.notices.length < 10 ? "make" : "none");
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => noSuchUser })]);
  // Two targets, whose failures are written apart from each other.
  const aliases = ["ann@mail.example", "root@mail.example"];
  simulation.noticeTargets = () => aliases;
  simulation.world.onLocal = ({ envelope }) => (envelope.recipient.startsWith("ann@") ? noSuchUser : later);
  await simulation.send({ from: "", to: ["nobody@example.org"] });
  await clock.advance(MINUTE);
  await simulation.scheduler.stop(0);

  const second = simulatedScheduling({ scheduler: { deadLetters: { to: "postmaster" } }, store, clock });
  second.noticeTargets = () => aliases;
  second.onNotice = () => (second.notices.length < 10 ? "make" : "none");
  second.world.onLocal = () => noSuchUser;
  second.scheduler.start();
  await clock.advance(HOUR);
  assert.deepEqual([simulation.notices.length, second.notices.length], [1, 0]);
  const rows = await store.list({});
  assert.deepEqual(
    rows.map((row) => [row.recipient, row.state]),
    aliases.map((recipient) => [recipient, "dead"]),
  );
});

test("mail that can neither be delivered nor returned is kept as dead and says why, and is tried again by its name", async () => {
  const simulation = simulatedScheduling();
  const { clock, store, scheduler, world } = simulation;
  simulation.onNotice = () => "unroutable";
  const peer = host("192.0.2.1", { onEnvelope: () => noSuchUser });
  world.setDomain("example.org", [peer]);
  const id = await simulation.send({ from: "noreply@mail.example", to: ["a@example.org", "b@example.org"] });
  await clock.advance(MINUTE);
  const rows = await store.list({ state: "dead" });
  const because = "there is no way to <noreply@mail.example>: no such user here";
  assert.deepEqual(
    rows.map((row) => [row.envelope, row.heldBecause, row.lastFailure?.reply?.code, row.expiresAt - clock.now() > DAY]),
    [1, 2].map((n) => [`${id}.${n}`, because, 550, true]),
  );
  assert.equal(simulation.notices.length, 1);
  const { dead, bounced } = scheduler.state.since;
  assert.deepEqual([dead, bounced], [2, 0]);
  const [ticket] = scheduler.state.tickets.values();
  assert.ok(ticket !== undefined);
  assert.match(hindrancesOf(scheduler.state, ticket)[0]?.text ?? "", /no such user here/);
  assert.ok(
    simulation.lines.includes(
      `qmgr: ${id}.1: from=<noreply@mail.example>, to=<a@example.org>: undeliverable and not returnable, kept as dead: ${because}`,
    ),
  );
  // Somebody has mended it.
  simulation.onNotice = () => "make";
  assert.equal((await scheduler.command({ do: "retryNow", selector: { by: "envelope", id: `${id}.1` } })).envelopes, 1);
  await clock.advance(MINUTE);
  assert.deepEqual([scheduler.state.since.bounced, (await store.list({ state: "dead" })).length], [1, 1]);
});

test("where dead letters go to postmaster he is told of mail that cannot be returned; without a way to him it is kept", async () => {
  const simulation = simulatedScheduling({ scheduler: { deadLetters: { to: "postmaster" } } });
  simulation.onNotice = ({ to }) => (to === undefined ? "unroutable" : "make");
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => noSuchUser })]);
  await simulation.send({ from: "noreply@mail.example", to: ["a@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    simulation.notices.map((one) => [one.kind, one.to]),
    [
      ["bounce", undefined],
      ["bounce", "postmaster@mail.example"],
    ],
  );
  assert.deepEqual([simulation.world.delivered.size, (await simulation.store.list({})).length], [1, 0]);

  simulation.onNotice = () => "unroutable";
  await simulation.send({ from: "noreply@mail.example", to: ["b@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => [row.recipient, row.state]),
    [["b@example.org", "dead"]],
  );
});

test("what was held and cannot be returned when an operator wants it is dead and nothing else", async () => {
  const simulation = simulatedScheduling();
  simulation.onNotice = () => "unroutable";
  simulation.scheduler.pause("out", "to hold them");
  const ids = [
    await simulation.send({ to: ["a@example.org"] }),
    await simulation.send({ from: "", to: ["b@example.org"] }),
  ];
  await simulation.clock.advance(SECOND);
  await simulation.scheduler.command({ do: "hold", selector: { by: "all" }, because: "a look", untilAt: NOON + HOUR });
  for (const id of ids)
    await simulation.scheduler.command({ do: "bounce", selector: { by: "message", id }, because: "no" });
  const rows = await simulation.store.list({});
  assert.deepEqual(
    rows.map((row) => [row.state, row.heldUntilAt, row.heldBecause, row.lastFailure?.cause.kind]),
    ["there is no way to <sender@mail.example>: no such user here", undefined].map((because) => [
      "dead",
      undefined,
      because,
      "operator",
    ]),
  );
});

test("a delay or success notice without a way to the sender changes nothing else", async () => {
  const simulation = simulatedScheduling();
  simulation.onNotice = () => "unroutable";
  let answer: Failure | undefined = later;
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => answer })]);
  await simulation.send({ to: ["a@example.org"], envelope: { notify: ["SUCCESS", "DELAY"] } });
  await simulation.clock.advance(5 * HOUR);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.state),
    ["queued"],
  );
  answer = undefined;
  await simulation.clock.advance(DAY);
  assert.deepEqual(await simulation.store.list({}), []);
  assert.deepEqual(
    simulation.notices.map(({ kind }) => kind),
    ["delay", "success"],
  );
});

test("held envelopes are not tried until released, or until their time", async () => {
  const simulation = simulatedScheduling();
  const { clock, scheduler, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1")]);
  scheduler.pause("out", "to hold before it goes");
  const id = await simulation.send({ to: ["jane@example.org", "john@example.org"] });
  await clock.advance(SECOND);
  assert.equal(
    (await scheduler.command({ do: "hold", selector: { by: "message", id }, because: "a look" })).envelopes,
    2,
  );
  scheduler.resume("out");
  await clock.advance(5 * DAY);
  assert.equal(world.delivered.size, 0);
  assert.deepEqual(
    (await simulation.store.list({ state: "held" })).map((row) => row.heldBecause),
    ["a look", "a look"],
  );
  assert.equal((await scheduler.command({ do: "release", selector: { by: "envelope", id: `${id}.1` } })).envelopes, 1);
  await clock.advance(SECOND);
  assert.deepEqual([...world.delivered.keys()], [`${id}.1`]);

  const untilAt = clock.now() + HOUR;
  await scheduler.command({ do: "hold", selector: { by: "all" }, because: "an hour more", untilAt });
  await clock.advance(HOUR - 1);
  assert.equal(world.delivered.size, 1);
  await clock.advance(SECOND);
  assert.equal(world.delivered.size, 2);
});

test("paused network delivery finishes what runs and starts nothing; local delivery goes on", async () => {
  const simulation = simulatedScheduling();
  const { clock, scheduler, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 5000 })]);
  await simulation.send({ to: ["first@example.org"] });
  await clock.advance(SECOND);
  scheduler.pause("out", "maintenance");
  await simulation.send({ to: ["second@example.org"] });
  await simulation.send({ to: ["joe@mail.example"], action: "deliver" });
  await clock.advance(HOUR);
  assert.equal(world.delivered.size, 2);
  assert.equal(world.connections.get("all")?.now, 0);
  scheduler.resume("out");
  await clock.advance(MINUTE);
  assert.equal(world.delivered.size, 3);
});

test("operators remove, bounce and retry by domain, sender and route", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, scheduler, world } = simulation;
  let isUp = false;
  for (const n of [1, 2, 3]) {
    world.setDomain(`d${n}.example`, [host(`192.0.2.${n}`, { onEnvelope: () => (isUp ? undefined : later) })]);
    await simulation.send({ from: `s${n}@mail.example`, to: [`jane@d${n}.example`] });
  }
  await clock.advance(10 * SECOND);
  assert.equal(
    (await scheduler.command({ do: "remove", selector: { by: "domain", domain: "D1.example" }, because: "junk" }))
      .envelopes,
    1,
  );
  assert.equal(
    (await scheduler.command({ do: "bounce", selector: { by: "sender", sender: "s2@mail.example" }, because: "no" }))
      .envelopes,
    1,
  );
  assert.equal(simulation.notices.length, 1);
  assert.equal(simulation.notices[0]?.about[0]?.failure?.cause.kind, "operator");
  isUp = true;
  assert.equal(
    (await scheduler.command({ do: "retryNow", selector: { by: "route", route: "192.0.2.3" } })).envelopes,
    1,
  );
  await clock.advance(SECOND);
  assert.deepEqual((await simulation.store.list({})).length, 0);
  assert.equal([...world.delivered.keys()].length, 2);
});

test("a retry by route finds what waits after a round in which no host could be reached, by any of them", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, scheduler, world } = simulation;
  let isUp = false;
  const down = (ip: string) => host(ip, { onConnect: () => (isUp ? undefined : unreachable(ip)) });
  world.setDomain("d1.example", [down("192.0.2.1"), down("192.0.2.2")]);
  world.setDomain("d2.example", [down("192.0.2.3")]);
  await simulation.send({ to: ["jane@d1.example"] });
  await simulation.send({ to: ["jane@d2.example"] });
  await clock.advance(10 * SECOND);
  isUp = true;
  for (const route of ["192.0.2.2", "192.0.2.3"])
    assert.equal((await scheduler.command({ do: "retryNow", selector: { by: "route", route } })).envelopes, 1, route);
  await clock.advance(SECOND);
  assert.equal(world.delivered.size, 2);
});

test("a failure that speaks about the whole relay is an attempt of what waits there, told at once", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, world } = simulation;
  const refused: Failure = {
    lasting: "temporary",
    status: "4.7.8",
    cause: { kind: "auth", reason: "refused", text: "" },
    reply: reply(535, "5.7.8", "no"),
    host: "mx-192.0.2.1[192.0.2.1]:25",
  };
  world.setDomain("example.org", [
    host("192.0.2.1", { onConnect: () => refused, failureScope: "relay" }),
    host("192.0.2.2", { onConnect: () => undefined }),
  ]);
  await simulation.send({ to: ["jane@example.org", "joe@example.org"] });
  await clock.advance(SECOND);
  const told = simulation.lines.filter((line) => line.includes("dsn=4.7.8, status=deferred (authentication with mx-"));
  assert.equal(told.length, 2, simulation.lines.join("\n"));
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.attempts),
    [1, 1],
  );
  // The other host of the relay would have said the same.
  assert.equal(at(simulation, "connect").length, 1);
  await clock.advance(400 * SECOND);
  assert.equal(at(simulation, "connect").length, 2);
});

test("a list of five thousand at one relay does not hold up single mails there", async () => {
  const simulation = simulatedScheduling();
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 1000, connectMs: 100 })]);
  const list = Array.from({ length: 5000 }, (_, n) => `member${n}@example.org`);
  await simulation.send({ to: list });
  await clock.advance(10);
  const single = await simulation.send({ from: "other@mail.example", to: ["jane@example.org"] });
  await clock.advance(3 * SECOND);
  assert.equal(world.delivered.get(`${single}.1`), 1);
  assert.ok(world.delivered.size < 1000, "most of the list is still waiting");
  const transactions = world.happenings.filter((one) => one.what === "transact");
  assert.ok(transactions.every((one) => one.envelopes.length <= 100));
  await clock.advance(5 * MINUTE);
  assert.equal(world.delivered.size, 5001);
});

test("one connection first, more only as transactions work, to one host at most five from one source", async () => {
  const simulation = simulatedScheduling();
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 1000, connectMs: 0 })]);
  for (let n = 0; n < 200; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await clock.advance(500);
  assert.equal(world.connections.get("192.0.2.1")?.most, 1);
  await clock.advance(1000);
  assert.equal(world.connections.get("192.0.2.1")?.most, 2);
  await clock.advance(30 * SECOND);
  assert.equal(world.connections.get("192.0.2.1")?.most, 5);
});

test("a relay that would like more connections than it may have goes on using those it has", async () => {
  const simulation = simulatedScheduling();
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 1000 })]);
  for (let n = 0; n < 200; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await clock.advance(60 * SECOND);
  assert.equal(world.happenings.filter((one) => one.what === "connect").length, 5);
});

test("a session carries at most a hundred mails, is kept for a moment, and then closed", async () => {
  const simulation = simulatedScheduling({ route: { limits: { route: 1, mailsPerSession: 3 } } });
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1")]);
  for (let n = 0; n < 7; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await clock.advance(2 * SECOND);
  assert.equal(world.happenings.filter((one) => one.what === "connect").length, 3);
  assert.equal(world.connections.get("all")?.now, 1);
  await clock.advance(4 * SECOND);
  assert.equal(world.connections.get("all")?.now, 0);
});

test("a kept session that has gone stale costs no attempt: the mail goes over a new one at once", async () => {
  for (const during of ["idle", "RSET", "XFORWARD", "MAIL"]) {
    const simulation = simulatedScheduling();
    const { clock, world } = simulation;
    const stale: Failure = {
      lasting: "temporary",
      status: "4.4.2",
      cause: { kind: "lost", reason: "closed", during },
    };
    world.setDomain("example.org", [
      host("192.0.2.1", { onTransaction: (_, nth) => (nth === 2 ? { failure: stale } : undefined) }),
    ]);
    await simulation.send({ to: ["first@example.org"] });
    await clock.advance(SECOND);
    const second = await simulation.send({ to: ["second@example.org"] });
    await clock.advance(SECOND);
    assert.equal(world.delivered.get(`${second}.1`), 1, during);
    assert.equal(simulation.emitted.filter((one) => one.fields["status"] === "deferred").length, 0);
  }
});

test("a host that closes every session at MAIL is put to rest, and its mail deferred", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const stale: Failure = {
    lasting: "temporary",
    status: "4.4.2",
    cause: { kind: "lost", reason: "closed", during: "MAIL" },
  };
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onTransaction: () => ({ failure: stale }) })]);
  await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.equal(simulation.world.happenings.filter((one) => one.what === "connect").length, 1);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.attempts),
    [1],
  );
});

test("recipients whom a session had not come to when it ended follow in another one at once, without an attempt", async () => {
  for (const during of ["idle", "RSET", "MAIL"] as const) {
    const simulation = simulatedScheduling({ scheduler: EXACT });
    const { clock, world } = simulation;
    const failure: Failure = {
      lasting: "temporary",
      status: "4.4.2",
      cause: { kind: "lost", reason: "closed", during },
    };
    world.setDomain("example.org", [
      host("192.0.2.1", {
        onTransaction: ({ envelopes }) => (envelopes.length > 2 ? { failure, answered: 2 } : undefined),
        onEnvelope: (_, recipient) => (recipient.startsWith("nobody") ? noSuchUser : undefined),
      }),
    ]);
    const to = ["a", "nobody", "c", "d", "e"].map((name) => `${name}@example.org`);
    await simulation.send({ to });
    await clock.advance(SECOND);
    assert.deepEqual([...world.delivered.values()], [1, 1, 1, 1, 1], `${during}: four, and a bounce`);
    const attempts = simulation.emitted.filter(({ fields }) => typeof fields["attempt"] === "number");
    assert.deepEqual(
      attempts.filter(({ fields }) => to.includes(String(fields["to"]))).map(({ fields }) => fields["attempt"]),
      [1, 1, 1, 1, 1],
      during,
    );
    assert.equal(simulation.emitted.filter(({ name }) => name === "route.rests").length, 0);
  }
});

test("a mail whose content ends every session is deferred alone; the rest of the relay is delivered", async () => {
  const simulation = simulatedScheduling();
  const { clock, world } = simulation;
  const cut: Failure = {
    lasting: "temporary",
    status: "4.4.2",
    cause: { kind: "lost", reason: "closed", during: "end of DATA" },
  };
  world.setDomain("example.org", [
    host("192.0.2.1", {
      onTransaction: (request) =>
        request.envelopes[0]?.recipient === "poison@example.org" ? { failure: cut } : undefined,
    }),
  ]);
  for (const to of ["a", "poison", "b", "c"]) await simulation.send({ to: [`${to}@example.org`] });
  await clock.advance(MINUTE);
  assert.equal(world.delivered.size, 3);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.recipient),
    ["poison@example.org"],
  );
});

test("an attempt whose delivery process died is tried again soon, and is not counted against the schedule", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1")]);
  let deaths = 0;
  const transact = world.network.transact.bind(world.network);
  world.network.transact = (request) =>
    deaths++ < 2 ? Promise.reject(new Error("the worker died")) : transact(request);
  const id = await simulation.send({ to: ["jane@example.org"] });
  await clock.advance(10 * SECOND);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => [row.attempts, row.lastFailure?.cause.kind]),
    [[0, "internal"]],
  );
  await clock.advance(MINUTE);
  assert.equal(world.delivered.get(`${id}.1`), 1);
});

test("DELIVERBY: returned at its time in mode return, told of in mode notify", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later })]);
  const by = { at: NOON + 30 * MINUTE, trace: false };
  await simulation.send({ to: ["a@example.org"], message: { deliverBy: { ...by, mode: "return" } } });
  await simulation.send({ to: ["b@example.org"], message: { deliverBy: { ...by, mode: "notify" } } });
  await clock.advance(30 * MINUTE - SECOND);
  assert.equal(simulation.notices.length, 0);
  await clock.advance(2 * SECOND);
  const told = new Map(simulation.notices.map((one) => [one.about[0]?.envelope.recipient, one.kind]));
  assert.deepEqual([told.get("a@example.org"), told.get("b@example.org"), told.size], ["bounce", "delay", 2]);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.recipient),
    ["b@example.org"],
  );
});

test("FUTURERELEASE: not tried before its time, and its life begins then", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [host("192.0.2.1")]);
  const id = await simulation.send({ to: ["jane@example.org"], envelope: { notBeforeAt: NOON + 10 * DAY } });
  await simulation.clock.advance(10 * DAY - 1);
  assert.equal(simulation.world.happenings.length, 0);
  await simulation.clock.advance(SECOND);
  assert.equal(simulation.world.delivered.get(`${id}.1`), 1);
});

test("success notices are made for those who asked, and not when the next host took the duty over", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [host("192.0.2.1")]);
  await simulation.send({ to: ["a@example.org"], envelope: { notify: ["SUCCESS"] } });
  await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(SECOND);
  assert.deepEqual(
    simulation.notices.map((one) => [one.kind, one.about[0]?.envelope.recipient, one.about[0]?.action]),
    [["success", "a@example.org", "relayed"]],
  );
});

test("a bounce that cannot be made is not lost: the envelope stays and is tried again", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => noSuchUser })]);
  let attempts = 0;
  simulation.onNotice = () => (++attempts < 3 ? "fail" : "make");
  await simulation.send({ to: ["nobody@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.equal((await simulation.store.list({})).length, 1);
  await simulation.clock.advance(20 * MINUTE);
  assert.equal(attempts, 3);
  assert.equal((await simulation.store.list({})).length, 0);
});

test("a delay notice that cannot be made is made later, and what it would have told of is kept meanwhile", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later })]);
  let attempts = 0;
  simulation.onNotice = () => (++attempts < 4 ? "fail" : "make");
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(4 * HOUR + MINUTE);
  assert.equal(attempts, 1);
  const [row] = await simulation.store.list({});
  const stored = await simulation.store.envelopes([row?.envelope ?? ""]);
  assert.deepEqual([row?.attempts, stored[0]?.progress.warnedAt], [5, undefined]);
  await simulation.clock.advance(16 * MINUTE);
  assert.equal(attempts, 4);
  await simulation.clock.advance(12 * HOUR);
  assert.equal(attempts, 4);
  assert.deepEqual(
    simulation.notices.map(({ kind }) => kind),
    Array.from({ length: 4 }, () => "delay"),
  );
});

test("after a start everything the store holds is tried; what was held or dead stays so", async () => {
  const first = simulatedScheduling({ scheduler: EXACT });
  first.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => later })]);
  await first.send({ to: ["waits@example.org"] });
  const held = await first.send({ to: ["held@example.org"] });
  await first.clock.advance(SECOND);
  await first.scheduler.command({ do: "hold", selector: { by: "message", id: held }, because: "why not" });
  await first.scheduler.stop(0);

  const second = simulatedScheduling({ scheduler: EXACT, store: first.store, clock: first.clock });
  second.world.setDomain("example.org", [host("192.0.2.1")]);
  second.scheduler.start();
  await second.clock.advance(HOUR);
  assert.equal(second.world.delivered.size, 1);
  assert.deepEqual(
    (await second.store.list({})).map((row) => [row.recipient, row.state]),
    [["held@example.org", "held"]],
  );
});

test("stop finishes what runs within its deadline, starts nothing new, and says whether all has ended", async () => {
  const simulation = simulatedScheduling();
  const { clock, world, scheduler } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 5000 })]);
  await simulation.send({ to: ["jane@example.org"] });
  await clock.advance(SECOND);
  await simulation.send({ to: ["john@example.org"] });
  const stopped = scheduler.stop(10 * SECOND);
  await clock.advance(6 * SECOND);
  assert.equal(await stopped, true);
  assert.equal(world.delivered.size, 1);
  assert.deepEqual(
    (await simulation.store.list({})).map((row) => row.recipient),
    ["john@example.org"],
  );
});

test("new settings free mail that waited for an action that did not exist", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const { clock, world, scheduler, settings } = simulation;
  const id = await simulation.send({ to: ["joe@mail.example"], action: "typo" });
  await clock.advance(SECOND);
  assert.equal((await simulation.store.list({}))[0]?.lastFailure?.cause.kind, "settings");
  scheduler.reload({ ...settings, plans: { ...settings.plans, typo: { kind: "local", speaker: "local" } } });
  await clock.advance(400 * SECOND);
  assert.equal(world.delivered.get(`${id}.1`), 1);
});
