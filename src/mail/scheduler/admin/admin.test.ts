import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import { unreachable } from "../../../simulator/deliveries.ts";
import { NOON, simulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { LiveRow } from "./admin.ts";
import { createSchedulerAdmin } from "./admin.io.ts";

const HOUR = 3_600_000;
/** Of `admin/control/protocol.ts`. */
const LONGEST_ANSWER = 16 * 1024 * 1024;
const down = { name: "mx.example.org", ip: "192.0.2.1", connectMs: 0, onConnect: () => unreachable("192.0.2.1") };

test("lists tell what the scheduler does about each envelope, and show has the attempts", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  simulation.world.setDomain("example.org", [down]);
  const id = await simulation.send({ to: ["a@example.org", "b@example.org"] });
  await simulation.clock.advance(1000);
  await admin.hold({ by: "envelope", id: `${id}.2` }, "a look");
  assert.deepEqual(
    (JSON.parse((await admin.list({})).rows) as LiveRow[]).map((row) => [row.envelope, row.live]),
    [
      [`${id}.1`, "waiting"],
      [`${id}.2`, "held"],
    ],
  );
  const shown = await admin.show(id, { withBody: true });
  assert.equal(shown?.envelopes.length, 2);
  assert.equal(shown?.body?.kind, "inline");
  assert.deepEqual(
    shown?.envelopes[0]?.attempts.map((one) => [one.outcome, one.relay]),
    [["deferred", "none"]],
  );
  // The hold did not make the store forget what went wrong before.
  assert.equal(shown?.envelopes[1]?.progress.lastFailure?.cause.kind, "connect");
  assert.equal((await admin.show(`${id}.2`))?.envelopes.length, 1);
  assert.equal(await admin.show("00000000000"), undefined);
});

test("of a message to very many, with very long answers, show has the last attempts, and of one envelope all", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  const failure: Failure = {
    lasting: "temporary",
    status: "4.2.1",
    cause: { kind: "reply", during: "RCPT" },
    reply: reply(450, "4.2.1", "come later ".repeat(300)),
  };
  simulation.world.setDomain("example.org", [{ name: "mx.example.org", ip: "192.0.2.1", onEnvelope: () => failure }]);
  const id = await simulation.send({ to: Array.from({ length: 800 }, (_, at) => `u${at}@example.org`) });
  await simulation.clock.advance(6 * HOUR);
  const shown = await admin.show(id);
  assert.equal(shown?.envelopes.length, 800);
  // What the control socket answers at most.
  assert.ok(JSON.stringify(shown).length < LONGEST_ANSWER, String(JSON.stringify(shown).length));
  const [first] = shown.envelopes;
  const alone = (await admin.show(`${id}.1`))?.envelopes[0];
  assert.equal(alone?.earlierAttempts, undefined);
  const known = alone?.attempts ?? [];
  const { attempts = [], earlierAttempts = 0 } = first ?? {};
  assert.ok(attempts.length > 0 && earlierAttempts > 0);
  assert.deepEqual([attempts, earlierAttempts], [known.slice(-attempts.length), known.length - attempts.length]);
});

type Simulation = ReturnType<typeof simulatedScheduling>;
type Shown = Pick<LiveRow, "live" | "nextAt"> & {
  readonly what: string | undefined;
  readonly text: string | undefined;
};
const listed = async (simulation: Simulation): Promise<readonly (Shown & { readonly untilAt: number | undefined })[]> =>
  (JSON.parse((await createSchedulerAdmin(simulation).list({})).rows) as LiveRow[]).map(({ live, nextAt, waits }) => ({
    live,
    nextAt,
    what: waits?.what,
    text: waits?.text,
    untilAt: waits?.untilAt,
  }));

test("lists: what is suspended says by whom, why and until when, due or not", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  simulation.world.setDomain("example.org", [down]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(1000);
  const untilAt = NOON + HOUR;
  await admin.suspend({ level: "domain", key: "example.org", because: "a move", by: "ann", untilAt });
  await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(1000);
  const text = /^domain example\.org is suspended by ann since 2026-01-01T12:00:01Z: a move$/;
  const [waiting, held] = await listed(simulation);
  assert.deepEqual([waiting?.live, waiting?.what, waiting?.untilAt], ["waiting", "suspended", untilAt]);
  assert.deepEqual([held?.live, held?.what, held?.untilAt], ["held", "suspended", untilAt]);
  for (const row of [waiting, held]) assert.match(row?.text ?? "", text);
});

test("lists: what is due says which rest or pause it waits for; what only waits for its turn says nothing", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  simulation.world.setDomain("example.org", [down]);
  simulation.world.setDomain("example.net", [{ name: "mx.example.net", ip: "192.0.2.2", transactMs: 60_000 }]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(1000);
  await simulation.send({ to: ["b@example.org"] });
  await simulation.send({ to: ["c@example.net"] });
  await simulation.clock.advance(1000);
  const [failed, resting, tried] = await listed(simulation);
  assert.deepEqual([failed?.live, failed?.what], ["waiting", undefined]);
  assert.deepEqual([resting?.live, resting?.what], ["ready", "route-rests"]);
  assert.ok((resting?.untilAt ?? 0) > simulation.clock.now());
  assert.deepEqual([tried?.live, tried?.what], ["active", undefined]);
  await admin.pause("out", "a look");
  const paused = (await listed(simulation))[1];
  assert.deepEqual([paused?.what, paused?.text, paused?.untilAt], ["paused", "out is paused: a look", undefined]);
  await admin.remove({ by: "all" }, "junk");
  await simulation.clock.advance(1);
  assert.match((await listed(simulation))[0]?.text ?? "", /being tried; then it is removed/);
});

test("lists: an instant and a reason that the store does not know are the scheduler's", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  const nobody: Failure = {
    lasting: "permanent",
    status: "5.1.1",
    cause: { kind: "reply", during: "RCPT" },
    reply: reply(550, "5.1.1", "Nobody of that name"),
  };
  simulation.world.setDomain("example.org", [down]);
  simulation.world.setDomain("example.net", [{ name: "mx", ip: "192.0.2.3", connectMs: 0, onEnvelope: () => nobody }]);
  simulation.onNotice = () => "fail";
  await simulation.send({ to: ["a@example.net"] });
  await simulation.send({ to: ["b@example.net"], envelope: { notBeforeAt: NOON + HOUR } });
  const chosen = await simulation.send({ to: ["c@example.org"] });
  await simulation.clock.advance(1000);
  await admin.schedule({ by: "message", id: chosen }, NOON + 2 * HOUR);
  const [unreturned, later, scheduled] = await listed(simulation);
  assert.equal(unreturned?.text, "its bounce could not be made: the notice cannot be made");
  assert.ok((unreturned?.nextAt ?? 0) > NOON + 300_000);
  assert.equal(unreturned?.untilAt, unreturned?.nextAt);
  assert.deepEqual(
    [later?.text, later?.untilAt, later?.nextAt],
    ["its sender wants it sent no earlier", NOON + HOUR, undefined],
  );
  assert.deepEqual([scheduled?.text, scheduled?.untilAt], ["an operator chose when it is due", NOON + 2 * HOUR]);
});

test("why: a wait names its end, a hold its reason, a resting route its failure", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  simulation.world.setDomain("example.org", [down]);
  const first = await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(1000);
  const waits = await admin.why(`${first}.1`);
  assert.deepEqual(
    waits?.map((one) => [one.what, Math.floor(((one.untilAt ?? 0) - NOON) / 1000)]),
    [["not-due", 400]],
  );

  const second = await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(1000);
  const rests = await admin.why(`${second}.1`);
  assert.equal(rests?.[0]?.what, "route-rests");
  assert.match(rests?.[0]?.text ?? "", /mx\.example\.org\[192\.0\.2\.1\]:25, penalty 1 .*Connection timed out/);
  assert.equal(Math.floor(((rests?.[0]?.untilAt ?? 0) - NOON) / 1000), 15);

  await admin.hold({ by: "all" }, "storm", NOON + HOUR);
  assert.deepEqual(await admin.why(`${first}.1`), [{ what: "held", text: "held: storm", untilAt: NOON + HOUR }]);
  assert.equal(await admin.why("00000000000.1"), undefined);
});

test("status counts envelopes by what is done about them; routes show penalty and rest", async () => {
  const simulation = simulatedScheduling();
  const admin = createSchedulerAdmin(simulation);
  simulation.world.setDomain("example.org", [down]);
  simulation.world.setDomain("example.net", [{ name: "mx.example.net", ip: "192.0.2.2", transactMs: 60_000 }]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.send({ to: ["b@example.net"] });
  await admin.pause("local", "full disk");
  await simulation.clock.advance(1000);
  const status = await admin.status();
  assert.deepEqual(status.envelopes, { waiting: 1, ready: 0, active: 1, writing: 0, held: 0, dead: 0 });
  assert.deepEqual(status.sessions, { connecting: 0, idle: 0, busy: 1 });
  assert.equal(status.routesResting, 1);
  assert.deepEqual(
    status.paused.map((one) => one.because),
    ["full disk"],
  );
  assert.equal(status.since.queued, 2);
  const routes = await admin.routes();
  assert.deepEqual(
    routes.map((route) => [route.address, route.penalty, route.connections]),
    [
      ["192.0.2.1:25", 1, 0],
      ["192.0.2.2:25", 0, 1],
    ],
  );
});

test("retry now ends the rest of the routes concerned", async () => {
  const simulation = simulatedScheduling();
  const admin = createSchedulerAdmin(simulation);
  let isUp = false;
  simulation.world.setDomain("example.org", [{ ...down, onConnect: () => (isUp ? undefined : unreachable("x")) }]);
  const id = await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(1000);
  isUp = true;
  assert.deepEqual(await admin.retryNow({ by: "domain", domain: "example.org" }), { envelopes: 1 });
  await simulation.clock.advance(100);
  assert.equal(simulation.world.delivered.get(`${id}.1`), 1);
});
