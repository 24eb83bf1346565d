import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatedScheduling } from "../../simulator/scheduling.ts";
import { planAll, planFor, planOf, type RelayPlan } from "./plan.ts";

function relayPlan(to: readonly string[], more: object = {}): RelayPlan {
  const plan = planOf({ kind: "relay", to, backup: false, ...more }, "mail.example");
  assert.ok(plan.kind === "relay");
  return plan;
}

test("actions that go the same way share a key; other credentials, TLS or source addresses do not", () => {
  const key = relayPlan(["tls://relay.example"]).key;
  assert.equal(relayPlan(["tls://relay.example"]).key, key);
  assert.notEqual(relayPlan(["smtps://relay.example"]).key, key);
  assert.notEqual(relayPlan(["tls://relay.example"], { credentials: "office" }).key, key);
  assert.notEqual(relayPlan(["tls://relay.example"], { sources: [{ address: "192.0.2.9", weight: 1 }] }).key, key);
});

test("the certificate must verify where credentials are sent, unless the action says otherwise", () => {
  assert.equal(relayPlan(["tls://relay.example"]).ways[0]?.verify, false);
  assert.equal(relayPlan(["tls://office@relay.example"]).ways[0]?.verify, true);
  assert.equal(relayPlan(["tls://office@relay.example"], { verify: false }).ways[0]?.verify, false);
});

test("a relay that cannot be understood fails for a while and says why", () => {
  const plan = planOf({ kind: "relay", to: ["http://relay.example"], backup: false }, "mail.example");
  assert.equal(plan.kind, "fail");
  assert.ok(plan.kind === "fail" && plan.failure.lasting === "temporary" && plan.failure.cause.kind === "settings");
});

test("of several relays the second is used when the first cannot be reached, and not for sharing load", async () => {
  const simulation = simulatedScheduling({
    actions: { relay: { kind: "relay", to: ["smtp://one.example", "tls://two.example:2525"], backup: false } },
  });
  const { world, clock } = simulation;
  let isUp = true;
  const down = {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "" },
  } as const;
  world.setDomain("one.example", [
    { name: "one.example", ip: "192.0.2.1", onConnect: () => (isUp ? undefined : down) },
  ]);
  world.setDomain("two.example", [{ name: "two.example", ip: "192.0.2.2" }]);
  const connects = () => world.happenings.filter((one) => one.what === "connect").map((one) => one.where);
  await simulation.send({ to: ["a@x.example"] });
  await clock.advance(10_000);
  assert.deepEqual(connects(), ["192.0.2.1"]);
  isUp = false;
  await simulation.send({ to: ["b@y.example"] });
  await clock.advance(10_000);
  assert.deepEqual(connects(), ["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
  assert.equal(world.delivered.size, 2);
});

test("mail of all domains shares the sessions to one smarthost", async () => {
  const simulation = simulatedScheduling({
    actions: { relay: { kind: "relay", to: ["smtp://one.example"], backup: false } },
  });
  simulation.world.setDomain("one.example", [{ name: "one.example", ip: "192.0.2.1" }]);
  for (let n = 0; n < 10; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await simulation.clock.advance(2000);
  assert.equal(simulation.world.delivered.size, 10);
  assert.ok((simulation.world.connections.get("192.0.2.1")?.most ?? 0) <= 5);
  assert.equal(simulation.world.happenings.filter((one) => one.what === "resolve").length, 1);
});

test("a relay has its own bound on connections, and is told who gave us the mail, where its action says so", async () => {
  const told: (boolean | undefined)[] = [];
  const relay = { kind: "relay", to: ["smtp://one.example"], backup: false } as const;
  const actions = { relay: { ...relay, connections: 2, xforward: true }, other: { ...relay } };
  const simulation = simulatedScheduling({ actions });
  const { world, clock } = simulation;
  world.setDomain("one.example", [
    { name: "one.example", ip: "192.0.2.1", onConnect: ({ xforward }) => void told.push(xforward) },
  ]);
  for (let n = 0; n < 100; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await clock.advance(60_000);
  assert.equal(world.delivered.size, 100);
  assert.equal(world.connections.get("192.0.2.1")?.most, 2);
  assert.ok(told.length > 0 && told.every((one) => one === true));
  await simulation.send({ to: ["b@e.example"], action: "other" });
  await clock.advance(10_000);
  assert.equal(told.at(-1), undefined);
  assert.notEqual(relayPlan(relay.to).key, relayPlan(relay.to, { connections: 2 }).key);
});

test("an action that is gone has no plan, whatever its name", () => {
  const plans = planAll({ relay: { kind: "relay", to: [], backup: false } }, "mail.example");
  assert.equal(planFor(plans, "relay")?.kind, "relay");
  assert.equal(planFor(plans, "constructor"), undefined);
  assert.equal(planFor(plans, "toString"), undefined);
});
