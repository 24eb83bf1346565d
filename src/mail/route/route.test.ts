import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { seededRandom } from "../../foundation/random.ts";
import type { NextHost } from "./next-host.ts";
import type { Failure } from "../envelope/failure.ts";
import { orderHosts } from "./order.ts";
import { forgive, noPenalty, penalise, reward, type PenaltyRules } from "./penalty.ts";
import { growRoute, newRoute, routeKey, shrinkRoute, sourcesFor } from "./route.ts";
import { routeSettings } from "./settings.ts";

const rules: PenaltyRules = { stepMs: 15_000, longestRestMs: 3_600_000, quietMs: 3_600_000 };
const refusedConnection: Failure = {
  lasting: "temporary",
  status: "4.4.1",
  cause: { kind: "connect", reason: "refused", text: "connection refused" },
};
const host = (ip: string, name = "mx.example", preference = 10): NextHost => ({
  name,
  address: { ip, port: 25 },
  preference,
});

test("a route rests penalty squared times 15 s, at most an hour", () => {
  const penalty = noPenalty();
  const rests: number[] = [];
  for (let n = 0; n < 20; n++) {
    penalise(penalty, refusedConnection, 1000, rules);
    rests.push((penalty.restsUntilAt - 1000) / 1000);
  }
  assert.deepEqual(rests.slice(0, 4), [15, 60, 135, 240]);
  assert.equal(Math.max(...rests), 3600);
  assert.equal(rests.at(-1), 3600);
});

test("success takes one away and ends the rest; quiet time takes one away for each of its lengths", () => {
  const penalty = noPenalty();
  for (let n = 0; n < 3; n++) penalise(penalty, refusedConnection, 0, rules);
  reward(penalty, 10_000);
  assert.equal(penalty.count, 2);
  assert.equal(penalty.restsUntilAt, 0);
  forgive(penalty, 10_000 + rules.quietMs - 1, rules);
  assert.equal(penalty.count, 2);
  forgive(penalty, 10_000 + rules.quietMs, rules);
  assert.equal(penalty.count, 1);
  forgive(penalty, 10_000 + 5 * rules.quietMs, rules);
  assert.equal(penalty.count, 0);
  assert.equal(penalty.lastFailure, undefined);
});

test("quiet time starts when the rest ends", () => {
  const penalty = noPenalty();
  penalise(penalty, refusedConnection, 0, rules);
  forgive(penalty, 15_000 + rules.quietMs - 1, rules);
  assert.equal(penalty.count, 1);
  forgive(penalty, 15_000 + rules.quietMs, rules);
  assert.equal(penalty.count, 0);
});

test("slow start allows one connection, one more for each success, and one again after a failure", () => {
  const route = newRoute("k", undefined, host("192.0.2.1"));
  assert.equal(route.connections.limit, 1);
  for (let n = 0; n < 9; n++) growRoute(route, 5);
  assert.equal(route.connections.limit, 5);
  shrinkRoute(route);
  assert.equal(route.connections.limit, 1);
});

test("a host's IPv4 and IPv6 addresses are different routes, and sources go to hosts of their family only", () => {
  const four = host("192.0.2.1");
  const six = host("2001:db8::1");
  const v4 = { address: "198.51.100.1" };
  assert.notEqual(routeKey(undefined, four), routeKey(undefined, six));
  assert.deepEqual(sourcesFor(four, [v4, { address: "2001:db8::9" }]), [v4]);
  assert.deepEqual(sourcesFor(six, [v4]), []);
  assert.deepEqual(sourcesFor(six, []), [undefined]);
});

test("hosts are ordered by preference, none is lost, and a host's addresses stay together", () => {
  const entry = fc.record({ name: fc.constantFrom("a", "b", "c", "d"), preference: fc.constantFrom(0, 10, 20) });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), fc.integer(), (entries, seed) => {
      const hosts = entries.map((one, index) => ({ ...one, index }));
      const ordered = orderHosts(hosts, seededRandom(seed));
      assert.deepEqual(
        ordered.map((one) => one.index).toSorted((a, b) => a - b),
        hosts.map((one) => one.index),
      );
      ordered.forEach((one, at) => {
        const before = ordered[at - 1];
        if (before === undefined) return;
        assert.ok(before.preference <= one.preference);
        if (before.name === one.name && before.preference === one.preference) assert.ok(before.index < one.index);
        else assert.ok(!ordered.slice(0, at).some((o) => o.name === one.name && o.preference === one.preference));
      });
    }),
  );
});

test("hosts of equal preference share the first place evenly", () => {
  const random = seededRandom(7);
  const first = new Map<string, number>();
  for (let n = 0; n < 3000; n++) {
    const name = orderHosts([host("192.0.2.1", "a"), host("192.0.2.2", "b"), host("192.0.2.3", "c")], random)[0]?.name;
    first.set(name ?? "", (first.get(name ?? "") ?? 0) + 1);
  }
  for (const name of ["a", "b", "c"]) assert.ok(Math.abs((first.get(name) ?? 0) - 1000) < 120);
});

test("the defaults of the limits are the design's", () => {
  const { limits } = routeSettings.parse({});
  assert.deepEqual(
    [limits.host, limits.route, limits.source, limits.relay, limits.domain, limits.mailsPerSession],
    [10, 5, 100, 100, 100, 100],
  );
});
