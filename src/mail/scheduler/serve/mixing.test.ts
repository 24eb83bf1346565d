import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import type { SimulatedHost } from "../../../simulator/deliveries.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";

const MINUTE = 60_000;
const domainOf = (address: string): string => address.slice(address.indexOf("@") + 1);
const refusal = (during: string, code: number, status: string, text: string): Failure => ({
  lasting: code < 500 ? "temporary" : "permanent",
  status,
  cause: { kind: "reply", during },
  reply: reply(code, status, text),
});

/** Three domains with the same two hosts, and a message to two recipients in each. */
async function message(simulation: SimulatedScheduling, more: Partial<SimulatedHost> = {}, count = 3): Promise<string> {
  const domains = Array.from({ length: count }, (_, n) => `customer${n}.example`);
  for (const domain of domains)
    simulation.world.setDomain(domain, [
      { name: "mx1.provider.example", ip: "192.0.2.1", preference: 10, ...more },
      { name: "mx2.provider.example", ip: "192.0.2.2", preference: 20, ...more },
    ]);
  // Where domains' mail goes is found out first, for a message of its own.
  for (const domain of domains) await simulation.send({ to: [`first@${domain}`] });
  await simulation.clock.advance(5000);
  assertSchedulerInvariants(simulation.scheduler.state);
  return simulation.send({ to: domains.flatMap((domain) => [`a@${domain}`, `b@${domain}`]) });
}

/** The domains of each transaction of the message, in order. */
function transactionsOf(simulation: SimulatedScheduling, id: string): readonly number[] {
  return simulation.world.happenings
    .filter(({ what, envelopes }) => what === "transact" && envelopes[0]?.startsWith(`${id}.`) === true)
    .map(({ envelopes }) => envelopes.length);
}

test("the recipients of a message at hosts that several domains share go in one transaction", async () => {
  const simulation = simulatedScheduling();
  const id = await message(simulation);
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [6]);
  assert.equal(simulation.world.delivered.size, 3 + 6);
  assertSchedulerInvariants(simulation.scheduler.state);
});

test("a host that takes one domain in a mail gets domain by domain, at once and without an attempt counted", async () => {
  const simulation = simulatedScheduling();
  const id = await message(simulation, {
    onEnvelope: (_id, recipient, { envelopes }) =>
      domainOf(recipient) === domainOf(envelopes[0]?.recipient ?? "")
        ? undefined
        : refusal(
            "RCPT",
            451,
            "4.3.0",
            "Multiple destination domains per transaction is unsupported. Please try again.",
          ),
  });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [6, 2, 2]);
  assert.equal(simulation.world.delivered.size, 3 + 6);
  // What was learnt holds for the next mail.
  const next = await simulation.send({ to: [0, 1, 2].map((n) => `c@customer${n}.example`) });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, next), [1, 1, 1]);
  assert.equal(simulation.world.delivered.size, 3 + 6 + 3);
});

test("later domains that alone are put off are tried on their own, whatever the words", async () => {
  const simulation = simulatedScheduling();
  const id = await message(simulation, {
    onEnvelope: (_id, recipient, { envelopes }) =>
      domainOf(recipient) === domainOf(envelopes[0]?.recipient ?? "")
        ? undefined
        : refusal("RCPT", 451, "4.3.0", "Not now."),
  });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [6, 2, 2]);
  assert.equal(simulation.world.delivered.size, 3 + 6);
});

test("content refused because of one domain's policy reaches the others", async () => {
  const simulation = simulatedScheduling();
  const id = await message(simulation, {
    onEnvelope: (_id, _recipient, { envelopes }) =>
      envelopes.some(({ recipient }) => recipient === "a@customer1.example")
        ? refusal("end of DATA", 550, "5.7.1", "not for customer1")
        : undefined,
  });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [6, 2, 2, 2]);
  const delivered = [...simulation.world.delivered.keys()].filter((one) => one.startsWith(`${id}.`));
  assert.deepEqual(delivered.sort(), [`${id}.1`, `${id}.2`, `${id}.5`, `${id}.6`]);
});

test("a refusal of one recipient among others is that recipient's", async () => {
  const simulation = simulatedScheduling();
  const id = await message(simulation, {
    onEnvelope: (_id, recipient) =>
      recipient === "b@customer2.example" ? refusal("RCPT", 550, "5.1.1", "no such user") : undefined,
  });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [6]);
  const delivered = [...simulation.world.delivered.keys()].filter((one) => one.startsWith(`${id}.`));
  assert.deepEqual(
    delivered.sort(),
    [1, 2, 3, 4, 5].map((n) => `${id}.${n}`),
  );
});

test("the settings and what the host announces (RCPTDOMAINMAX) bound the domains of a transaction", async () => {
  const set = simulatedScheduling({ route: { limits: { domainsPerMail: 2 } } });
  const bySettings = await message(set);
  await set.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(set, bySettings), [4, 2]);

  const announced = simulatedScheduling();
  const byHost = await message(announced, { facts: { mostDomains: 1 } });
  await announced.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(announced, byHost), [2, 2, 2]);

  const shaped = simulatedScheduling({ route: { shaping: { "mx:*.provider.example": { domainsPerMail: 1 } } } });
  const byShaping = await message(shaped);
  await shaped.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(shaped, byShaping), [2, 2, 2]);
});

test("a domain whose mails are counted goes by itself, and one whose connections are full waits", async () => {
  const rated = simulatedScheduling({ route: { shaping: { "customer1.example": { rate: "600/min" } } } });
  const id = await message(rated);
  await rated.clock.advance(MINUTE);
  assert.deepEqual(
    transactionsOf(rated, id).toSorted((a, b) => a - b),
    [2, 4],
  );
  assert.equal(rated.world.delivered.size, 3 + 6);
});

test("a smarthost that takes one domain in a mail is served so, too", async () => {
  const simulation = simulatedScheduling({
    actions: { relay: { kind: "relay", to: ["smtp://smart.example"], backup: false } },
  });
  simulation.world.setDomain("smart.example", [
    {
      name: "smart.example",
      ip: "192.0.2.9",
      onEnvelope: (_id, recipient, { envelopes }) =>
        domainOf(recipient) === domainOf(envelopes[0]?.recipient ?? "")
          ? undefined
          : refusal("RCPT", 451, "4.3.0", "only one destination domain in a mail"),
    },
  ]);
  const id = await simulation.send({ to: ["a@one.example", "a@two.example", "b@one.example"] });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(transactionsOf(simulation, id), [3, 1]);
  assert.equal(simulation.world.delivered.size, 3);
});
