import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import type { Failure } from "../../envelope/failure.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

function refusal(text = "Greylisted, please try again later", status = "4.2.0"): Failure {
  const said = reply(450, status, text);
  return {
    lasting: "temporary",
    status,
    cause: { kind: "reply", during: "RCPT" },
    reply: said,
    host: "mx[192.0.2.1]:25",
  };
}

type Judge = (recipient: string, at: number) => Failure | undefined;

interface Watched {
  readonly simulation: SimulatedScheduling;
  /** Seconds since the beginning of each attempt, in order, and whose it was. */
  readonly attempts: { at: number; recipient: string; isRefused: boolean }[];
}

function watch(judge: Judge, route: object, transactMs: number): Watched {
  const simulation = simulatedScheduling({ route, scheduler: { retry: { spread: 0 }, warnAfter: "0s" } });
  const attempts: Watched["attempts"] = [];
  const host = {
    name: "mx",
    ip: "192.0.2.1",
    connectMs: 10,
    transactMs,
    onEnvelope: (_: string, recipient: string) => {
      const at = (simulation.clock.now() - NOON) / SECOND;
      const failure = judge(recipient, at);
      attempts.push({ at, recipient, isRefused: failure !== undefined });
      return failure;
    },
  };
  simulation.world.setDomain("example.org", [host]);
  return { simulation, attempts };
}

/** So many messages to one domain, at once. */
async function sendMany({ simulation }: Watched, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await simulation.send({ to: [`user${n}@example.org`] });
}

async function pass({ simulation }: Watched, ms: number): Promise<void> {
  await simulation.clock.advance(ms);
  assertSchedulerInvariants(simulation.scheduler.state);
}

/** Keyed by the client, and each attempt within 300 s begins the wait anew. */
function restarting(): Judge {
  let lastAt = -Infinity;
  let isKnown = false;
  return (_, at) => {
    if (lastAt > -Infinity && at - lastAt >= 300) isKnown = true;
    lastAt = at;
    return isKnown ? undefined : refusal();
  };
}

function triplets(waitSeconds = 300): Judge {
  const first = new Map<string, number>();
  return (recipient, at) => {
    const since = first.get(recipient);
    if (since === undefined) first.set(recipient, at);
    return since !== undefined && at - since >= waitSeconds ? undefined : refusal();
  };
}

/** OpenBSD's: one recipient that comes again after 25 minutes admits the client. */
function spamd(): Judge {
  const byTriplet = triplets(1500);
  let isKnown = false;
  return (recipient, at) => {
    const failure = isKnown ? undefined : byTriplet(recipient, at);
    if (failure === undefined) isKnown = true;
    return failure;
  };
}

// A transaction of 20 s over five connections: 600 mails are a line of 2400 s.
const SLOW_MS = 20 * SECOND;
const LONG = 600;
const lastAt = ({ attempts }: Watched): number => Math.max(...attempts.map((one) => one.at));
const naive = { greylisting: { strategy: "none" } };

test("a greylister of clients is left alone for its wait, then all go at full speed, with an attempt each", async () => {
  const watched = watch(restarting(), {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 2 * HOUR);
  const refused = watched.attempts.filter((one) => one.isRefused);
  assert.ok(refused.length <= 12, `${refused.length} refused`);
  assert.equal(watched.simulation.world.delivered.size, LONG);
  assert.ok(watched.attempts.length <= 1.05 * LONG);
  assert.ok(
    watched.simulation.lines.some((line) =>
      /relay .* seems to greylist: 5 recipients in a row refused; the rest \(\d+\) waits \d+ s/.test(line),
    ),
  );

  const other = watch(restarting(), naive, SLOW_MS);
  await sendMany(other, LONG);
  await pass(other, 24 * HOUR);
  assert.ok(lastAt(watched) <= lastAt(other) / 2, `${lastAt(watched)} s and, naively, ${lastAt(other)} s`);
});

test("where one old tuple admits the client, those refused first prove it as soon as they can", async () => {
  const watched = watch(spamd(), {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 2 * HOUR);
  const firstTaken = watched.attempts.find((one) => !one.isRefused)?.at ?? Infinity;
  assert.ok(firstTaken >= 1500 && firstTaken <= 1600, `${firstTaken}`);
  assert.equal(watched.simulation.world.delivered.size, LONG);
  assert.ok(watched.attempts.length <= 1.1 * LONG);
});

test("a greylister of recipients is found out by one probe; then each is presented once, and nobody is held back", async () => {
  const watched = watch(triplets(), {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 3 * HOUR);
  assert.equal(watched.simulation.world.delivered.size, LONG);
  assert.ok(watched.attempts.length <= 2.1 * LONG);
  assert.ok(
    watched.simulation.emitted.some(
      (one) => one.name === "relay.greylist-learnt" && one.fields["keys"] === "recipient",
    ),
  );
  const other = watch(triplets(), naive, SLOW_MS);
  await sendMany(other, LONG);
  await pass(other, 3 * HOUR);
  assert.ok(lastAt(watched) <= 1.1 * lastAt(other), `${lastAt(watched)} s and, naively, ${lastAt(other)} s`);
});

test("a short line is presented at once, so that a greylister of recipients costs nothing more than its wait", async () => {
  const watched = watch(triplets(), {}, 100);
  await sendMany(watched, 200);
  await pass(watched, 460 * SECOND);
  assert.equal(watched.simulation.world.delivered.size, 200);
  assert.equal(watched.attempts.length, 400);
});

test("a wait that the greylister names is what its relay waits, whatever the schedule and the settings say", async () => {
  const known = new Map<string, number>();
  const told: Judge = (_, at) => {
    const since = known.get("client") ?? at;
    known.set("client", since);
    return at - since >= 120 ? undefined : refusal("Greylisted for 2 minutes");
  };
  const watched = watch(told, {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, HOUR);
  const taken = watched.attempts.find((one) => !one.isRefused)?.at ?? Infinity;
  assert.ok(taken >= 120 && taken <= 240, `${taken}`);
});

test("those not tried had no attempt: their schedule does not go on, and no attempt is listed", async () => {
  for (const strategy of ["adaptive", "batch"]) {
    const watched = watch(() => refusal(), { greylisting: { strategy } }, SLOW_MS);
    await sendMany(watched, LONG);
    await pass(watched, HOUR);
    const tried = new Map<string, number>();
    for (const { recipient } of watched.attempts) tried.set(recipient, (tried.get(recipient) ?? 0) + 1);
    const rows = await watched.simulation.store.list({});
    assert.equal(rows.length, LONG, strategy);
    for (const row of rows) assert.equal(row.attempts, tried.get(row.recipient) ?? 0, `${strategy} ${row.recipient}`);
    assert.ok(watched.attempts.length < LONG / 4, `${strategy}: ${watched.attempts.length}`);
  }
});

test("batch: after five in a row the rest is put off for 400 s, those really refused a little longer", async () => {
  const watched = watch(restarting(), { greylisting: { strategy: "batch" } }, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 2 * HOUR);
  const refused = watched.attempts.filter((one) => one.isRefused);
  const before = Math.max(...refused.map((one) => one.at));
  const firstTaken = watched.attempts.find((one) => !one.isRefused);
  assert.ok(firstTaken !== undefined && firstTaken.at - before >= 300);
  assert.ok(!refused.some((one) => one.recipient === firstTaken.recipient));
  assert.ok(watched.simulation.lines.some((line) => /relay=none,.* status=deferred \(not tried/.test(line)));
  assert.equal(watched.simulation.world.delivered.size, LONG);
});

test("none: everybody is tried, each for itself", async () => {
  const watched = watch(() => refusal(), naive, 100);
  await sendMany(watched, 50);
  await pass(watched, 5 * MINUTE);
  assert.equal(new Set(watched.attempts.map((one) => one.recipient)).size, 50);
  assert.ok(!watched.simulation.emitted.some((one) => one.name === "relay.greylists"));
});

test("mailboxes out of order among others that take mail are no greylisting, in whatever order they come", async () => {
  const isBroken = (recipient: string): boolean => Number(/\d+/.exec(recipient)?.[0]) % 10 < 6;
  const watched = watch(
    (recipient) => (isBroken(recipient) ? refusal("mailbox busy", "4.2.0") : undefined),
    {},
    SLOW_MS,
  );
  await sendMany(watched, LONG);
  await pass(watched, 2600 * SECOND);
  assert.equal(watched.simulation.world.delivered.size, 0.4 * LONG);
  const held = watched.simulation.emitted.filter(
    (one) => one.name === "relay.greylists" && one.fields["plan"] === "resting",
  );
  assert.ok(held.length <= 1, `${held.length} rests`);
});

test("five mails to one mailbox that is out of order do not make its domain wait", async () => {
  const watched = watch((recipient) => (recipient.startsWith("jane") ? refusal() : undefined), {}, 100);
  for (let n = 0; n < 20; n++) await watched.simulation.send({ to: ["jane@example.org"] });
  await pass(watched, SECOND * 10);
  assert.ok(!watched.simulation.emitted.some((one) => one.name === "relay.greylists"));
});

test("a host that refuses everybody for ever makes the mail expire, tried or not", async () => {
  const watched = watch(() => refusal(), {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 4 * 24 * HOUR + 3 * HOUR);
  assert.equal(
    (await watched.simulation.store.list({})).filter((row) => row.recipient.endsWith("@example.org")).length,
    0,
  );
});

test("an operator's retry ends the rest", async () => {
  const watched = watch(() => refusal(), {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 3 * MINUTE);
  const before = watched.attempts.length;
  await pass(watched, MINUTE);
  assert.equal(watched.attempts.length, before);
  await watched.simulation.scheduler.command({ do: "retryNow", selector: { by: "domain", domain: "example.org" } });
  await pass(watched, MINUTE);
  assert.ok(watched.attempts.length > before);
});

test("while everything is paused the end of a rest is no reason to look again and again", async () => {
  const watched = watch(restarting(), {}, SLOW_MS);
  const { simulation } = watched;
  await sendMany(watched, LONG);
  await pass(watched, 2 * MINUTE);
  assert.ok([...simulation.scheduler.state.relays.values()].some(({ greylist }) => greylist?.phase === "resting"));
  simulation.scheduler.pause("out", "maintenance");
  await pass(watched, MINUTE);
  const before = simulation.inputs.length;
  await pass(watched, HOUR);
  assert.ok(simulation.inputs.length - before < 50, `${simulation.inputs.length - before} events while paused`);
  simulation.scheduler.resume("out");
  await pass(watched, 2 * HOUR);
  assert.equal(simulation.world.delivered.size, LONG);
});

test("probes whose answers say nothing of greylisting keep nobody else waiting", async () => {
  // Those refused first, and the first ones asked beside them, are unknown there when the rest is over.
  const unknown: Failure = { ...refusal("No such user", "5.1.1"), lasting: "permanent" };
  const refused = new Set<string>();
  let asked = 0;
  const judge: Judge = (recipient, at) => {
    if (at < 300) {
      refused.add(recipient);
      return refusal();
    }
    return refused.has(recipient) || ++asked <= 12 ? unknown : undefined;
  };
  const watched = watch(judge, {}, SLOW_MS);
  await sendMany(watched, LONG);
  await pass(watched, 4 * HOUR);
  const accepted = watched.attempts.filter((one) => !one.isRefused).length;
  assert.equal(accepted, LONG - refused.size - 12);
});
