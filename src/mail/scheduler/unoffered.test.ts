import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import type { SimulatedHost } from "../../simulator/deliveries.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { createSchedulerAdmin } from "./admin/admin.io.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const EXACT = { retry: { spread: 0 } };

/** What a host said to one mail: nobody else is to read it. */
const SECRET = "mallory@secret.example";

function said(during: string, code: number): Failure {
  const status = `${String(code)[0]}.7.0`;
  return {
    lasting: code < 500 ? "temporary" : "permanent",
    status,
    cause: { kind: "reply", during },
    reply: reply(code, status, `<${SECRET}> not now`),
    host: "mx[192.0.2.1]:25",
  };
}

const lost = (during: string): Failure => ({
  lasting: "temporary",
  status: "4.4.2",
  cause: { kind: "lost", reason: "closed", during },
  host: "mx[192.0.2.1]:25",
});

const ENDINGS = [said("MAIL", 421), said("RCPT", 421), said("end of DATA", 421), lost("RCPT"), lost("end of DATA")];
const nameOf = ({ cause }: Failure): string => JSON.stringify(cause);

/** The first mail is refused, with its session, by each host; there are others in the line. */
async function refusedFirst(failure: Failure, hosts: number): Promise<SimulatedScheduling> {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const host = (n: number): SimulatedHost => ({
    name: `mx${n}`,
    ip: `192.0.2.${n}`,
    preference: n,
    onTransaction: ({ envelopes }) =>
      envelopes.some((one) => one.recipient.startsWith("bad")) ? { failure } : undefined,
  });
  simulation.world.setDomain(
    "example.org",
    Array.from({ length: hosts }, (_, n) => host(n + 1)),
  );
  await simulation.send({ from: "mallory@here.example", to: ["bad@example.org"] });
  for (let n = 0; n < 5; n++) await simulation.send({ from: `author${n}@here.example`, to: [`good${n}@example.org`] });
  return simulation;
}

test("what is said to one mail, or its end, is no attempt of those behind it: they wait in their line while the host rests", async () => {
  for (const failure of ENDINGS) {
    const simulation = await refusedFirst(failure, 1);
    await simulation.clock.advance(10 * SECOND);
    const rows = await simulation.store.list({});
    assert.deepEqual(
      rows.map(({ attempts }) => attempts).toSorted((a, b) => a - b),
      [0, 0, 0, 0, 0, 1],
      nameOf(failure),
    );
    assert.equal(simulation.lines.filter((line) => line.includes("status=deferred")).length, 1, nameOf(failure));
    const [good] = await simulation.store.list({ recipient: "good3@example.org" });
    const admin = createSchedulerAdmin({ ...simulation, origins: () => ({ file: "posthorn.yaml", places: {} }) });
    const why = JSON.stringify(await admin.why(good?.envelope ?? ""));
    assert.ok(why.includes("every next host rests") && !why.includes(SECRET), why);
    await simulation.clock.advance(MINUTE);
    assert.equal(simulation.world.delivered.size, 5, nameOf(failure));
    assert.ok(!simulation.lines.some((line) => line.includes("to=<good") && line.includes(SECRET)));
  }
});

test("mail that each host put back has its own answer when the round ends, and one attempt", async () => {
  for (const failure of ENDINGS.slice(0, 2)) {
    const simulation = await refusedFirst(failure, 2);
    await simulation.clock.advance(10 * SECOND);
    const [bad] = await simulation.store.list({ recipient: "bad@example.org" });
    assert.equal(bad?.attempts, 1, nameOf(failure));
    const told = simulation.lines.filter((line) => line.includes("status=deferred"));
    assert.ok(
      told.every((line) => line.includes("to=<bad@")),
      told.join("\n"),
    );
    assert.equal(told.length, 1, nameOf(failure));
  }
});

test("a host that takes no mail just now is asked once by all its addresses, not once by each for other mail", async () => {
  const simulation = simulatedScheduling({ scheduler: EXACT });
  const full: Failure = { ...said("RCPT", 451), status: "4.3.2", reply: reply(451, "4.3.2", "not now") };
  simulation.world.setDomain(
    "example.org",
    [1, 2, 3].map((n) => ({ name: "mx", ip: `192.0.2.${n}`, onEnvelope: () => full })),
  );
  for (let n = 0; n < 5; n++) await simulation.send({ to: [`u${n}@example.org`] });
  await simulation.clock.advance(10 * SECOND);
  assert.equal(simulation.world.happenings.filter(({ what }) => what === "transact").length, 1);
});

test("mail that was never offered expires with words of our own", async () => {
  for (const failure of ENDINGS) {
    const simulation = simulatedScheduling({ scheduler: { ...EXACT, expireAfter: "4h", warnAfter: "1h" } });
    simulation.world.setDomain("example.org", [{ name: "mx", ip: "192.0.2.1", onTransaction: () => ({ failure }) }]);
    for (let n = 0; n < 40; n++) await simulation.send({ from: `author${n}@here.example`, to: [`u${n}@example.org`] });
    await simulation.clock.advance(8 * HOUR);
    const tried = new Set(simulation.world.happenings.flatMap((one) => (one.what === "transact" ? one.envelopes : [])));
    const bounces = simulation.notices.filter(({ kind }) => kind === "bounce");
    assert.equal(bounces.length, 40, nameOf(failure));
    const untried = simulation.notices.flatMap(({ about }) => about).filter((one) => !tried.has(one.envelope.id));
    assert.ok(untried.length > 20, `${untried.length}`);
    assert.ok(!JSON.stringify(untried).includes(SECRET), nameOf(failure));
    assert.ok(
      !simulation.lines.some(
        (line) => untried.some((one) => line.includes(`${one.envelope.id}:`)) && line.includes(SECRET),
      ),
    );
  }
});

test("what is put off because others seem to be greylisted is not told what they were", async () => {
  const simulation = simulatedScheduling({
    scheduler: { ...EXACT, warnAfter: "1h" },
    route: { greylisting: { strategy: "batch" } },
  });
  simulation.world.setDomain("example.org", [
    { name: "mx", ip: "192.0.2.1", transactMs: SECOND, onEnvelope: () => said("RCPT", 450) },
  ]);
  for (let n = 0; n < 100; n++) await simulation.send({ from: `author${n}@here.example`, to: [`u${n}@example.org`] });
  await simulation.clock.advance(2 * HOUR);
  const tried = new Set(simulation.world.happenings.flatMap((one) => (one.what === "transact" ? one.envelopes : [])));
  const untried = (await simulation.store.list({})).filter(({ envelope }) => !tried.has(envelope));
  assert.ok(untried.length > 10, `${untried.length}`);
  assert.ok(!JSON.stringify(untried).includes(SECRET));
  const told = simulation.notices.flatMap(({ about }) => about).filter((one) => !tried.has(one.envelope.id));
  assert.ok(told.length > 10 && !JSON.stringify(told).includes(SECRET));
});
