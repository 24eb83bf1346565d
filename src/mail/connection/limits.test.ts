import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { createLimits, type Admission, type Limits } from "./limits.ts";
import { limitSettings } from "./settings.ts";

const NONE = limitSettings.parse({});

function limitsWith(given: Partial<typeof NONE>, clock = virtualClock(0)): Limits {
  return createLimits({ ...NONE, ...given }, clock);
}

function admitted(admission: Admission): Extract<Admission, { isAdmitted: true }> {
  assert.ok(admission.isAdmitted);
  return admission;
}

function refusal(admission: Admission): string {
  return admission.isAdmitted ? "admitted" : admission.because;
}

test("connections in all are limited, exempt clients and unix sockets included", () => {
  const limits = limitsWith({ connections: 2 });
  const first = admitted(limits.admit("127.0.0.1"));
  admitted(limits.admit(undefined));
  assert.equal(refusal(limits.admit("192.0.2.1")), "connections");
  assert.equal(refusal(limits.admit("127.0.0.1")), "connections");
  first.left();
  admitted(limits.admit("192.0.2.1"));
  assert.equal(limits.open, 2);
});

test("an address and a network each have their share, given back when a connection ends", () => {
  const limits = limitsWith({ connectionsPerAddress: 2, connectionsPerNetwork: 3 });
  const one = admitted(limits.admit("192.0.2.1"));
  admitted(limits.admit("192.0.2.1"));
  assert.equal(refusal(limits.admit("192.0.2.1")), "per-address");
  admitted(limits.admit("192.0.2.2"));
  assert.equal(refusal(limits.admit("192.0.2.3")), "per-network");
  admitted(limits.admit("192.0.3.1"));
  one.left();
  admitted(limits.admit("192.0.2.1"));
});

test("the addresses of an IPv6 /64 share one allowance of connections and of rate", () => {
  const limits = limitsWith({ connectionsPerNetwork: 2, connectionRate: 2 });
  admitted(limits.admit("2001:db8::1")).left();
  admitted(limits.admit("2001:db8::2")).left();
  assert.equal(refusal(limits.admit("2001:db8::3")), "rate");
  admitted(limits.admit("2001:db8:0:1::1"));
});

test("rates begin anew each minute", async () => {
  const clock = virtualClock(0);
  const limits = limitsWith({ messageRate: 2 }, clock);
  const { allowance } = admitted(limits.admit("192.0.2.1"));
  assert.deepEqual(
    [1, 2, 3].map(() => allowance.take("message")),
    [true, true, false],
  );
  assert.equal(allowance.isSpent("message"), true);
  assert.equal(allowance.take("recipient"), true);
  // Another session of the same client has no share of its own.
  assert.equal(admitted(limits.admit("192.0.2.1")).allowance.take("message"), false);
  await clock.advance(60_000);
  assert.equal(allowance.take("message"), true);
});

test("handshakes are limited in a second and in a minute, per address or /64", async () => {
  const clock = virtualClock(0);
  const limits = limitsWith({ handshakesPerSecond: 3, handshakeRate: 5 }, clock);
  const one = admitted(limits.admit("2001:db8::1")).allowance;
  const neighbour = admitted(limits.admit("2001:db8::2")).allowance;
  const stranger = admitted(limits.admit("2001:db8:1::1")).allowance;
  const taken = (allowance: typeof one, times: number) =>
    Array.from({ length: times }, () => allowance.take("handshake")).filter(Boolean).length;
  assert.equal(taken(one, 2), 2);
  assert.equal(taken(neighbour, 5), 1);
  assert.equal(taken(stranger, 2), 2);
  await clock.advance(1000);
  // What the second refused was not taken from the minute.
  assert.equal(taken(one, 5), 2);
  await clock.advance(1000);
  assert.equal(taken(one, 1), 0);
  await clock.advance(60_000);
  assert.equal(taken(one, 5), 3);
  limits.reconfigure({ ...NONE, handshakesPerSecond: 0, handshakeRate: 0 });
  assert.equal(taken(one, 1000), 1000);
});

test("exempt clients have no rates, and zero is no limit", () => {
  const limits = limitsWith({ messageRate: 1, connectionsPerAddress: 0, connectionsPerNetwork: 0, connectionRate: 0 });
  const { allowance } = admitted(limits.admit("127.0.0.1"));
  for (let at = 0; at < 10; at++) assert.equal(allowance.take("message"), true);
  for (let at = 0; at < 500; at++) admitted(limits.admit("192.0.2.1"));
});

test("new settings hold at once, and open connections stay counted", () => {
  const limits = limitsWith({ connectionsPerAddress: 5 });
  for (let at = 0; at < 3; at++) admitted(limits.admit("192.0.2.1"));
  limits.reconfigure({ ...NONE, connectionsPerAddress: 3 });
  assert.equal(refusal(limits.admit("192.0.2.1")), "per-address");
});

/** Two processes that serve one listener, and what they tell each other. */
function pair(given: Partial<typeof NONE>): { one: Limits; two: Limits; talk: () => void } {
  const clock = virtualClock(0);
  const one = limitsWith(given, clock);
  const two = limitsWith(given, clock);
  const untold = new Set<Limits>();
  for (const limits of [one, two]) limits.share(() => untold.add(limits));
  const talk = (): void => {
    for (const limits of untold) {
      untold.delete(limits);
      const changes = limits.changes();
      assert.ok(changes !== undefined);
      // As it arrives in another process.
      if (limits === one) two.learn("one", structuredClone(changes));
      else one.learn("two", structuredClone(changes));
    }
    assert.equal(one.changes(), undefined);
  };
  return { one, two, talk };
}

test("processes that serve one listener have its limits together, and each knows when another's connections end", () => {
  const { one, two, talk } = pair({ connections: 4, connectionsPerAddress: 2, connectionsPerNetwork: 3 });
  const first = admitted(one.admit("192.0.2.1"));
  admitted(two.admit("192.0.2.1"));
  talk();
  assert.equal(refusal(one.admit("192.0.2.1")), "per-address");
  assert.equal(refusal(two.admit("192.0.2.1")), "per-address");
  admitted(two.admit("192.0.2.2"));
  talk();
  assert.equal(refusal(one.admit("192.0.2.3")), "per-network");
  admitted(one.admit("127.0.0.1"));
  talk();
  assert.equal(refusal(two.admit("198.51.100.1")), "connections");
  first.left();
  talk();
  admitted(two.admit("192.0.2.1"));
});

test("rates are counted over all processes, each taking once", () => {
  const { one, two, talk } = pair({ messageRate: 3 });
  const here = admitted(one.admit("2001:db8::1")).allowance;
  const there = admitted(two.admit("2001:db8::2")).allowance;
  assert.ok(here.take("message"));
  assert.ok(there.take("message"));
  talk();
  assert.ok(here.take("message"));
  talk();
  assert.ok(!there.take("message"));
  assert.ok(!here.take("message"));
});

test("handshakes of a second are counted over all processes, too", () => {
  const { one, two, talk } = pair({ handshakesPerSecond: 3, handshakeRate: 0 });
  const here = admitted(one.admit("192.0.2.1")).allowance;
  const there = admitted(two.admit("192.0.2.1")).allowance;
  assert.ok(here.take("handshake") && here.take("handshake") && there.take("handshake"));
  talk();
  assert.ok(!here.take("handshake"));
  assert.ok(!there.take("handshake"));
});

test("a process that ended has no connections, and one that begins is told of all there are", () => {
  const { one, two, talk } = pair({ connectionsPerAddress: 2 });
  admitted(one.admit("192.0.2.1"));
  admitted(one.admit("192.0.2.1"));
  talk();
  assert.equal(refusal(two.admit("192.0.2.1")), "per-address");
  two.forget("one");
  admitted(two.admit("192.0.2.1")).left();
  one.tellAll();
  talk();
  assert.equal(refusal(two.admit("192.0.2.1")), "per-address");
});
