import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

function said(during: string, code: number, text: string): Failure {
  const status = `${String(code)[0]}.7.1`;
  return {
    lasting: code < 500 ? "temporary" : "permanent",
    status,
    cause: { kind: "reply", during },
    reply: reply(code, status, text),
    host: "mx[192.0.2.1]:25",
  };
}

const LISTED = "Service unavailable; Client host [198.51.100.1] blocked using zen.spamhaus.org";

function rests(simulation: SimulatedScheduling): number {
  return simulation.emitted.filter((one) => one.name === "route.rests").length;
}

/** Bad mail and good mail, each minute. Gives back how much of the good mail waited for more than a minute. */
async function waited(
  simulation: SimulatedScheduling,
  { minutes = 60, bad = 3, badTo }: { minutes?: number; bad?: number; badTo?: string },
): Promise<number> {
  let late = 0;
  for (let minute = 0; minute < minutes; minute++) {
    for (let n = 0; n < bad; n++)
      await simulation.send({
        from: badTo === undefined ? "bad@here.example" : `someone${minute}x${n}@there.example`,
        to: [`${badTo ?? `user${minute}x${n}`}@big.example`],
      });
    const id = await simulation.send({ from: `author${minute}@here.example`, to: [`good${minute}@big.example`] });
    await simulation.clock.advance(MINUTE);
    if (!simulation.world.delivered.has(`${id}.1`)) late++;
  }
  return late;
}

test("what is refused because of its content, its sender or its recipient delays nobody else's mail", async () => {
  for (const [during, code, text] of [
    ["end of DATA", 554, "Message contains a blocked attachment"],
    ["end of DATA", 550, "[198.51.100.1] likely unsolicited mail. This message has been blocked."],
    ["RCPT", 550, "Sender blocked by the recipient"],
    ["RCPT", 550, LISTED],
    ["end of DATA", 451, "Your IP has a poor reputation"],
  ] as const) {
    const simulation = simulatedScheduling();
    simulation.world.setDomain("big.example", [
      {
        name: "mx",
        ip: "192.0.2.1",
        onEnvelope: (_id, _to, { message }) =>
          message.sender === "bad@here.example" ? said(during, code, text) : undefined,
      },
    ]);
    assert.equal(await waited(simulation, {}), 0, text);
    assert.equal(rests(simulation), 0, text);
  }
});

test("a recipient with a list of his own delays nobody else's mail, whoever writes to him", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("big.example", [
    {
      name: "mx",
      ip: "192.0.2.1",
      onEnvelope: (_id, to) => (to.startsWith("mallory") ? said("RCPT", 550, LISTED) : undefined),
    },
  ]);
  assert.equal(await waited(simulation, { badTo: "mallory" }), 0);
  assert.equal(rests(simulation), 0);
});

test("over LMTP, to a filter, and where they are told who gave us the mail no words are about us", async () => {
  for (const relay of [
    { to: ["lmtp://big.example:24"] },
    { to: ["smtp://big.example"], xforward: true },
    { to: ["smtp://big.example"], isContentFilter: true },
  ]) {
    const simulation = simulatedScheduling({ actions: { relay: { kind: "relay", backup: false, ...relay } } });
    simulation.world.setDomain("big.example", [
      {
        name: "big",
        ip: "192.0.2.1",
        onEnvelope: (_id, to) => (to.startsWith("good") ? undefined : said("RCPT", 550, LISTED)),
      },
    ]);
    assert.equal(await waited(simulation, { minutes: 5, bad: 40 }), 0, relay.to[0]);
    assert.equal(rests(simulation), 0, relay.to[0]);
  }
});

test("where several senders and recipients in a row are refused for our address it rests, and mail waits unreturned", async () => {
  const simulation = simulatedScheduling();
  let isListed = true;
  simulation.world.setDomain("big.example", [
    { name: "mx", ip: "192.0.2.1", onEnvelope: () => (isListed ? said("RCPT", 554, LISTED) : undefined) },
  ]);
  const sent: string[] = [];
  for (let n = 0; n < 40; n++)
    sent.push(await simulation.send({ from: `author${n}@here.example`, to: [`u${n}@big.example`] }));
  await simulation.clock.advance(10 * SECOND);
  assert.equal(rests(simulation), 1);
  assert.equal(simulation.notices.length, 3);
  isListed = false;
  await simulation.clock.advance(10 * MINUTE);
  assert.equal(sent.filter((id) => simulation.world.delivered.has(`${id}.1`)).length, 37);
});

test("of a single sender very many are refused before our last address rests", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("big.example", [
    { name: "mx", ip: "192.0.2.1", onEnvelope: () => said("RCPT", 554, LISTED) },
  ]);
  for (let n = 0; n < 200; n++) await simulation.send({ from: `news-${n}@here.example`, to: [`u${n}@big.example`] });
  await simulation.clock.advance(10 * SECOND);
  assert.equal(rests(simulation), 1);
  const tried = simulation.world.happenings.filter(({ what }) => what === "transact").length;
  assert.ok(tried >= 30 && tried < 40, `${tried}`);
});

test("a block of our address that stays costs one mail each rest, and a success or an operator makes it be asked anew", async () => {
  const simulation = simulatedScheduling();
  let isListed = true;
  simulation.world.setDomain("big.example", [
    { name: "mx", ip: "192.0.2.1", onEnvelope: () => (isListed ? said("RCPT", 554, LISTED) : undefined) },
  ]);
  const send = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++)
      await simulation.send({ from: `author${n % 50}@here.example`, to: [`u${n}@big.example`] });
  };
  await send(0, 100);
  await simulation.clock.advance(60 * MINUTE);
  const seen = rests(simulation);
  assert.ok(seen >= 4, `${seen} rests`);
  assert.equal(simulation.notices.length, 3 + seen - 1);
  // Taken again, everything goes; a later refusal is a single mail's.
  isListed = false;
  await simulation.clock.advance(120 * MINUTE);
  assert.deepEqual(await simulation.store.list({}), []);
  isListed = true;
  await send(200, 201);
  await simulation.clock.advance(SECOND);
  assert.equal(rests(simulation), seen);
});
