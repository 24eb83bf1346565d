import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../../protocol/smtp/reply.ts";
import type { SimulatedHost } from "../../../simulator/deliveries.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";
import { scopeOf } from "./scope.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const EXACT = { retry: { spread: 0 } };

function said(during: string, code: number, status: string | undefined, text: string): Failure {
  return {
    lasting: code < 500 ? "temporary" : "permanent",
    status: status ?? `${String(code)[0]}.0.0`,
    cause: { kind: "reply", during },
    reply: reply(code, status, text),
    host: "mx[192.0.2.1]:25",
  };
}

const host = (ip: string, more: Partial<SimulatedHost>): SimulatedHost => ({ name: `mx-${ip}`, ip, ...more });

function rests(simulation: SimulatedScheduling): number {
  return simulation.emitted.filter((one) => one.name === "route.rests").length;
}
function seconds(simulation: SimulatedScheduling, what: string): readonly number[] {
  const at = simulation.world.happenings.filter((one) => one.what === what).map((one) => one.at - NOON);
  return at.map((ms) => Math.floor(ms / SECOND));
}

test("a failure that speaks of a recipient never rests a route; a 421 always does, whenever it is said", async () => {
  const reply4 = fc.record({
    during: fc.constantFrom("MAIL", "RCPT", "DATA", "end of DATA"),
    code: fc.constantFrom(421, 450, 451, 452, 454, 550, 552, 553, 554),
    detail: fc.constantFrom(undefined, "0.0", "1.1", "1.8", "2.0", "2.1", "2.2", "3.0", "3.1", "3.2", "5.3", "7.1"),
    text: fc.constantFrom("", "greylisted", "your ip is blocked", "try again in 30 seconds", "too many recipients"),
    hasWorked: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(reply4, async ({ during, code, detail, text, hasWorked }) => {
      const failure = said(during, code, detail === undefined ? undefined : `${String(code)[0]}.${detail}`, text);
      const simulation = simulatedScheduling();
      let transactions = 0;
      const isTurn = (): boolean => !hasWorked || transactions > 1;
      simulation.world.setDomain("example.org", [
        host("192.0.2.1", {
          onTransaction: () => (++transactions && code === 421 && isTurn() ? { failure } : undefined),
          onEnvelope: () => (code !== 421 && isTurn() ? failure : undefined),
        }),
      ]);
      for (let n = 0; n < 3; n++) await simulation.send({ to: [`user${n}@example.org`] });
      await simulation.clock.advance(20 * SECOND);
      const scope = scopeOf(failure, "recipient");
      if (code === 421) assert.ok(rests(simulation) > 0, "421 rests the route");
      else if (scope === "route" || scope === "host") assert.ok(rests(simulation) > 0, scope);
      else assert.equal(rests(simulation), 0, scope);
      await simulation.scheduler.stop(0);
    }),
    { numRuns: 150 },
  );
});

test("a kept session whose RSET is refused costs the next mail no attempt", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const failure: Failure = { ...said("RSET", 554, "5.5.0", "Too many errors"), lasting: "temporary", status: "4.5.0" };
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onTransaction: (_, nth) => (nth === 2 ? { failure } : undefined) }),
  ]);
  await simulation.send({ to: ["first@example.org"] });
  await simulation.clock.advance(SECOND);
  const second = await simulation.send({ to: ["second@example.org"] });
  await simulation.clock.advance(HOUR);
  assert.equal(simulation.world.delivered.get(`${second}.1`), 1);
  assert.ok(simulation.emitted.every((one) => one.fields["status"] !== "deferred"));
});

test("a goodbye after work costs nobody an attempt: what is ready goes on when the route has rested", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const goodbye = said("MAIL", 421, "4.7.0", "too many mails in this session");
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onTransaction: (_, nth) => (nth > 2 ? { failure: goodbye } : undefined) }),
  ]);
  for (let n = 0; n < 6; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await simulation.clock.advance(10 * MINUTE);
  assert.equal(simulation.world.delivered.size, 6);
  assert.ok(!simulation.lines.some((line) => line.includes("status=deferred")));
});

test("what a host says of itself in its first transaction sends the mail to the next host, in the same round", async () => {
  for (const [failure, isCut] of [
    [said("RCPT", 421, "4.3.2", "shutting down"), true],
    [said("RCPT", 451, "4.3.2", "system not accepting mail"), false],
    [said("end of DATA", 452, "4.3.1", "out of space"), false],
  ] as const) {
    const simulation = simulatedScheduling({ scheduler: EXACT });
    simulation.world.setDomain("example.org", [
      host("192.0.2.1", {
        preference: 10,
        onTransaction: () => (isCut ? { failure } : undefined),
        onEnvelope: () => (isCut ? undefined : failure),
      }),
      host("192.0.2.2", { preference: 20 }),
    ]);
    for (let n = 0; n < 3; n++) await simulation.send({ to: [`user${n}@example.org`] });
    await simulation.clock.advance(MINUTE);
    assert.equal(simulation.world.delivered.size, 3);
    assert.ok(!simulation.lines.some((line) => line.includes("status=deferred")));
  }
});

test("where every host speaks of itself the round ends, and its mail is deferred once", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const failure = said("RCPT", 421, "4.3.2", "shutting down");
  const shut = (ip: string, preference: number) => host(ip, { preference, onTransaction: () => ({ failure }) });
  simulation.world.setDomain("example.org", [shut("192.0.2.1", 10), shut("192.0.2.2", 20)]);
  await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(seconds(simulation, "transact").length, 2);
  assert.equal(simulation.lines.filter((line) => line.includes("status=deferred")).length, 1);
});

test("a host that shuts down with a wait in its words is left alone for that wait", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  let isDown = true;
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", {
      onConnect: () => (isDown ? said("greeting", 421, "4.3.2", "restarting, try again in 120 seconds") : undefined),
    }),
  ]);
  await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(MINUTE);
  isDown = false;
  await simulation.send({ to: ["john@example.org"] });
  await simulation.clock.advance(50 * SECOND);
  assert.deepEqual(seconds(simulation, "connect"), [0]);
  await simulation.clock.advance(20 * SECOND);
  assert.equal(simulation.world.delivered.size, 2);
});

test("a refused sender waits there with all its mail, and nobody else does", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const no = said("MAIL", 450, "4.1.8", "sender's domain not found");
  const tried: string[] = [];
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", {
      transactMs: 2 * SECOND,
      onEnvelope: (_, recipient) => {
        tried.push(recipient);
        return recipient.startsWith("bad") ? no : undefined;
      },
    }),
  ]);
  for (let n = 0; n < 20; n++) {
    await simulation.send({ from: "bad@sender.example", to: [`bad${n}@example.org`] });
    await simulation.send({ from: "good@sender.example", to: [`good${n}@example.org`] });
  }
  await simulation.clock.advance(2 * MINUTE);
  assert.equal(simulation.world.delivered.size, 20);
  const bad = tried.filter((one) => one.startsWith("bad"));
  assert.ok(bad.length <= 3, `${bad.length} tried`);
  const rows = await simulation.store.list({});
  assert.equal(rows.length, 20);
  assert.equal(rows.filter((row) => row.attempts > 0).length, bad.length);
});

test("a sender refused for good fails alike, after the host has said so three times in a row", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  let tried = 0;
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", {
      transactMs: 2 * SECOND,
      onEnvelope: () => (tried++, said("MAIL", 550, "5.7.1", "sender refused")),
    }),
  ]);
  for (let n = 0; n < 30; n++) await simulation.send({ to: [`user${n}@example.org`] });
  await simulation.clock.advance(2 * MINUTE);
  assert.ok(tried >= 3 && tried <= 10, `${tried}`);
  assert.equal(simulation.notices.filter((one) => one.kind === "bounce").length, 30);
});

test("who did not fit into a transaction follows in the next one, without an attempt counted", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  let fits = 0;
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", {
      onTransaction: () => void (fits = 2),
      onEnvelope: () => (fits-- > 0 ? undefined : said("RCPT", 452, "4.5.3", "too many recipients")),
    }),
  ]);
  await simulation.send({ to: ["a@example.org", "b@example.org", "c@example.org", "d@example.org", "e@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.equal(simulation.world.delivered.size, 5);
  assert.ok(!simulation.lines.some((line) => line.includes("status=deferred")));
});

test("a reply that names a wait sets the next attempt, whatever the schedule says, but not beyond expiry", async () => {
  const simulation = simulatedScheduling({ scheduler: { ...EXACT, expireAfter: "1h", warnAfter: "0s" } });
  const told = said("RCPT", 450, "4.2.1", "mailbox is busy, try again in 60 seconds");
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => told, transactMs: 0 })]);
  await simulation.send({ to: ["jane@example.org"] });
  await simulation.clock.advance(2 * HOUR);
  const tried = seconds(simulation, "transact");
  const waits = tried.slice(1).map((at, n) => at - (tried[n] ?? 0));
  // Five times it is believed; then the schedule's waits bound it.
  for (const wait of waits.slice(0, 5)) assert.ok(wait >= 61 && wait <= 65, `${wait}`);
  assert.ok((waits[5] ?? 0) >= 400);
  assert.equal(tried.at(-1), 3600);
});

test("a host that did not like us is asked again for the next mail, not answered for out of an old round", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const answers = [said("RCPT", 450, "4.2.0", "busy"), said("RCPT", 450, "4.3.2", "not now")];
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => answers.shift() })]);
  // The first refusal is remembered, in case it is greylisting; the second ends a round with nothing left to be sent.
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(10 * SECOND);
  await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(50 * SECOND);
  await simulation.send({ to: ["c@example.org"] });
  await simulation.clock.advance(10 * SECOND);
  assert.equal(simulation.world.delivered.size, 1);
});

const blocked = (during: string, code: number): Failure =>
  said(during, code, `${String(code)[0]}.7.1`, "your ip is blocked, see blocklist.example");

test("what a host says of one of our addresses sends the mail out by another one, be it for now or for good", async () => {
  for (const [during, code] of [
    ["MAIL", 554],
    ["RCPT", 550],
    ["RCPT", 450],
    ["end of DATA", 451],
  ] as const) {
    const simulation = simulatedScheduling({
      scheduler: EXACT,
      route: { sources: ["198.51.100.1", "198.51.100.2", "198.51.100.3"] },
    });
    let from = "";
    simulation.world.setDomain("example.org", [
      host("192.0.2.1", {
        onConnect: ({ sourceAddress = "" }) => void (from = sourceAddress),
        onEnvelope: () => (from === "198.51.100.3" ? undefined : blocked(during, code)),
      }),
    ]);
    for (let n = 0; n < 20; n++) {
      await simulation.send({ to: [`user${n}@example.org`] });
      await simulation.clock.advance(20 * SECOND);
    }
    assert.equal(simulation.world.delivered.size, 20, `${code} in reply to ${during}`);
    assert.ok(simulation.lines.every((line) => !/status=(deferred|bounced)/.test(line)));
    assert.ok(rests(simulation) >= 2, "those that are blocked rest there");
  }
});

test("a refusal of all our addresses for good returns the mail at once, and each was asked once at most", async () => {
  const simulation = simulatedScheduling({
    scheduler: EXACT,
    route: { sources: ["198.51.100.1", "198.51.100.2", "198.51.100.3"] },
  });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onEnvelope: () => blocked("RCPT", 554) })]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(10 * SECOND);
  assert.equal(seconds(simulation, "transact").length, 3);
  assert.equal(simulation.notices.filter(({ kind }) => kind === "bounce").length, 1);
  // While they rest nobody is sent from one to the next.
  await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(2 * MINUTE);
  assert.equal(simulation.notices.filter(({ kind }) => kind === "bounce").length, 2);
});

test("of content that a host refuses for good no other address of ours is tried", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1", "198.51.100.2"] } });
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", { onEnvelope: () => said("end of DATA", 550, "5.7.1", "unsolicited mail is blocked") }),
  ]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(MINUTE);
  assert.equal(seconds(simulation, "transact").length, 1);
  assert.equal(simulation.notices.length, 1);
});

test("a block that sets in after other mail had gone through returns nothing while another address of ours is left", async () => {
  const simulation = simulatedScheduling({
    scheduler: EXACT,
    route: { sources: ["198.51.100.1", "198.51.100.2"] },
  });
  const from = new Map<string, string>();
  const taken = new Map<string, number>();
  simulation.world.setDomain("example.org", [
    host("192.0.2.1", {
      onConnect: ({ session, sourceAddress = "" }) => void from.set(session, sourceAddress),
      onEnvelope: (_envelope, _recipient, { session }) => {
        const source = from.get(session) ?? "";
        taken.set(source, (taken.get(source) ?? 0) + 1);
        return source === "198.51.100.1" && (taken.get(source) ?? 0) > 2 ? blocked("RCPT", 554) : undefined;
      },
    }),
  ]);
  for (let n = 0; n < 40; n++) {
    await simulation.send({ to: [`user${n}@example.org`] });
    await simulation.clock.advance(n % 5 === 0 ? 20 * SECOND : SECOND);
  }
  await simulation.clock.advance(HOUR);
  assert.equal(simulation.notices.length, 0);
  assert.equal(simulation.world.delivered.size, 40);
  assert.ok((taken.get("198.51.100.1") ?? 0) > 2);
});
