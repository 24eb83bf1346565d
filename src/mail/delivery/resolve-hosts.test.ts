import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../foundation/random.ts";
import { createZone, zoneFromText, type ZoneEntry } from "../../simulator/zone.ts";
import type { ResolveRequest } from "./delivery.ts";
import { resolveHosts } from "./resolve-hosts.ts";

async function resolve(
  zone: Record<string, ZoneEntry>,
  target: ResolveRequest["target"] | string,
  extra: {
    own?: string[];
    ownNames?: string[];
    seed?: number;
    backupAs?: string;
    families?: "any" | "ipv4" | "ipv6";
  } = {},
) {
  return resolveHosts(
    {
      target: typeof target === "string" ? { kind: "domain", domain: target } : target,
      defaultPort: 25,
      backupAs: extra.backupAs,
    },
    {
      resolver: createZone(zone),
      random: seededRandom(extra.seed ?? 1),
      now: () => 0,
      ownNames: new Set(extra.ownNames ?? ["us.example"]),
      isOwn: (address, port) => port === 25 && (extra.own ?? []).includes(address),
      families: extra.families ?? "any",
    },
  );
}

async function hosts(...args: Parameters<typeof resolve>): Promise<string[]> {
  const resolved = await resolve(...args);
  assert.ok(resolved.ok, JSON.stringify(resolved));
  return resolved.hosts.map(({ name, address }) =>
    "ip" in address ? `${name} ${address.ip}:${address.port}` : address.path,
  );
}

async function failure(...args: Parameters<typeof resolve>) {
  const resolved = await resolve(...args);
  assert.ok(!resolved.ok, JSON.stringify(resolved));
  return resolved.failure;
}

const three: Record<string, ZoneEntry> = {
  "d.example": { mx: ["20 b.example", "10 a.example", "30 c.example"] },
  "a.example": { a: ["192.0.2.1"] },
  "b.example": { a: ["192.0.2.2"], aaaa: ["2001:db8::2"] },
  "c.example": { a: ["192.0.2.3"] },
};

test("all exchangers are tried in the order of preference, each with all its addresses", async () => {
  assert.deepEqual(await hosts(three, "d.example"), [
    "a.example 192.0.2.1:25",
    "b.example 2001:db8::2:25",
    "b.example 192.0.2.2:25",
    "c.example 192.0.2.3:25",
  ]);
});

test("exchangers of equal preference share the load", async () => {
  const zone = { ...three, "d.example": { mx: ["10 a.example", "10 c.example"] } };
  const firsts = new Set<string | undefined>();
  for (let seed = 0; seed < 20; seed++) firsts.add((await hosts(zone, "d.example", { seed }))[0]);
  assert.equal(firsts.size, 2);
});

test("a domain without exchangers is its own", async () => {
  assert.deepEqual(await hosts(three, "a.example"), ["a.example 192.0.2.1:25"]);
});

test("a domain with exchangers is never its own, even if it has an address and they have none", async () => {
  const zone = { "d.example": { mx: ["10 gone.example"], a: ["192.0.2.9"] } };
  const failed = await failure(zone, "d.example");
  assert.deepEqual(failed.cause, { kind: "no-address", host: "gone.example" });
  assert.equal(failed.lasting, "permanent");
});

test("the null MX refuses mail for good", async () => {
  const failed = await failure({ "d.example": { mx: ["0 ."], a: ["192.0.2.9"] } }, "d.example");
  assert.deepEqual(failed, { lasting: "permanent", status: "5.1.10", cause: { kind: "null-mx", domain: "d.example" } });
});

test("a null MX beside real exchangers means nothing", async () => {
  const zone = { ...three, "d.example": { mx: ["0 .", "10 a.example"] } };
  assert.deepEqual(await hosts(zone, "d.example"), ["a.example 192.0.2.1:25"]);
});

test("aliases of the domain and of exchangers are followed", async () => {
  const zone = {
    ...three,
    "e.example": { cname: "f.example" },
    "f.example": { mx: ["1 g.example"] },
    "g.example": { cname: "a.example" },
  };
  assert.deepEqual(await hosts(zone, "e.example"), ["g.example 192.0.2.1:25"]);
});

test("a domain that does not exist fails for good, one that cannot be looked up does not", async () => {
  assert.equal((await failure({}, "d.example")).lasting, "permanent");
  const failed = await failure({ "d.example": { fails: "servfail" } }, "d.example");
  assert.equal(failed.lasting, "temporary");
  assert.equal(failed.status, "4.4.3");
  assert.ok(failed.cause.kind === "dns" && failed.cause.finding.reason === "servfail");
});

test("an exchanger that cannot be looked up does not hide the others", async () => {
  const zone: Record<string, ZoneEntry> = {
    ...three,
    "a.example": { fails: "timeout" },
    "c.example": { fails: { aaaa: "timeout" }, a: ["192.0.2.3"] },
  };
  assert.deepEqual(await hosts(zone, "d.example"), [
    "b.example 2001:db8::2:25",
    "b.example 192.0.2.2:25",
    "c.example 192.0.2.3:25",
  ]);
});

test("when nothing is left, a lookup that failed makes it temporary", async () => {
  const zone: Record<string, ZoneEntry> = {
    "d.example": { mx: ["10 gone.example", "20 a.example"] },
    "a.example": { fails: "timeout" },
  };
  assert.equal((await failure(zone, "d.example")).lasting, "temporary");
});

test("the list is cut at our own name, equals included", async () => {
  const zone = {
    ...three,
    "d.example": { mx: ["10 a.example", "20 US.example", "20 b.example", "30 c.example"] },
    "us.example": { a: ["192.0.2.77"] },
  };
  assert.deepEqual(await hosts(zone, "d.example"), ["a.example 192.0.2.1:25"]);
});

test("the list is cut at our own address under another name", async () => {
  assert.deepEqual(await hosts(three, "d.example", { own: ["192.0.2.2"] }), ["a.example 192.0.2.1:25"]);
});

test("an IPv4 address that an exchanger has as an IPv6 one is that IPv4 address, ours too, and is tried once", async () => {
  const zone: Record<string, ZoneEntry> = {
    "d.example": { mx: ["10 a.example"] },
    "a.example": { a: ["192.0.2.1"], aaaa: ["::ffff:192.0.2.1", "::ffff:c000:202"] },
  };
  assert.deepEqual(await hosts(zone, "d.example"), ["a.example 192.0.2.1:25", "a.example 192.0.2.2:25"]);
  for (const own of ["192.0.2.1", "192.0.2.2"])
    assert.equal((await failure(zone, "d.example", { own: [own] })).cause.kind, "mx-loop");
  const literal = await failure({}, "[IPv6:::ffff:192.0.2.1]", { own: ["192.0.2.1"] });
  assert.equal(literal.cause.kind, "mx-loop");
});

test("a domain whose best exchanger we are is a loop", async () => {
  const failed = await failure(three, "d.example", { own: ["192.0.2.1"] });
  assert.deepEqual(failed, { lasting: "permanent", status: "5.4.6", cause: { kind: "mx-loop", domain: "d.example" } });
  assert.equal((await failure(three, "[192.0.2.1]", { own: ["192.0.2.1"] })).cause.kind, "mx-loop");
});

test("a backup goes to better exchangers only, and nowhere when it is not in the list", async () => {
  assert.deepEqual(await hosts(three, "d.example", { backupAs: "b.example" }), ["a.example 192.0.2.1:25"]);
  const failed = await failure(three, "d.example", { backupAs: "" });
  assert.equal(failed.lasting, "temporary");
  assert.equal(failed.cause.kind, "settings");
});

test("address literals, hosts and sockets need no exchanger", async () => {
  assert.deepEqual(await hosts({}, "[192.0.2.1]"), ["192.0.2.1 192.0.2.1:25"]);
  assert.deepEqual(await hosts({}, "[IPv6:2001:DB8::1]"), ["2001:db8::1 2001:db8::1:25"]);
  assert.deepEqual(await hosts({}, { kind: "host", host: "2001:db8::1", port: 2525 }), [
    "2001:db8::1 2001:db8::1:2525",
  ]);
  assert.deepEqual(await hosts(three, { kind: "host", host: "d.example" }).catch(() => "none"), "none");
  assert.deepEqual(await hosts(three, { kind: "host", host: "A.example", port: 587 }), ["A.example 192.0.2.1:587"]);
  assert.deepEqual(await hosts({}, { kind: "unix", path: "/run/lmtp" }), ["/run/lmtp"]);
});

test("a host that a person named and that has no address is waited for", async () => {
  const failed = await failure({}, { kind: "host", host: "relay.example" });
  assert.equal(failed.lasting, "temporary");
  assert.equal(failed.cause.kind, "no-address");
});

test("a domain in U-labels is looked up in A-labels", async () => {
  assert.deepEqual(await hosts({ "xn--bcher-kva.example": { a: ["192.0.2.4"] } }, "Bücher.example"), [
    "xn--bcher-kva.example 192.0.2.4:25",
  ]);
});

test("one family only where the settings say so", async () => {
  assert.deepEqual(await hosts(three, "b.example", { families: "ipv4" }), ["b.example 192.0.2.2:25"]);
});

test("a domain that exists and has neither exchangers nor addresses is told as that, not as one that does not exist", async () => {
  const failed = await failure({ "d.example": { txt: ["only words"] } }, "d.example");
  assert.deepEqual(failed, {
    lasting: "permanent",
    status: "5.1.2",
    cause: { kind: "no-address", host: "d.example", isDomain: true },
  });
});

test("mail for hosts whose addresses are all of the family that the settings leave out waits for other settings", async () => {
  const six: Record<string, ZoneEntry> = {
    "d.example": { mx: ["10 gone.example", "20 six.example"] },
    "six.example": { aaaa: ["2001:db8::6"] },
    "gone.example": { txt: ["only words"] },
  };
  for (const target of ["d.example", "six.example", { kind: "host", host: "six.example" } as const]) {
    const failed = await failure(six, target, { families: "ipv4" });
    assert.equal(failed.lasting, "temporary");
    assert.ok(failed.cause.kind === "settings");
    assert.match(failed.cause.text, /six\.example has IPv6 addresses only, and `delivery\.address-families` is ipv4/);
  }
  // Not known is not none.
  const fails: Record<string, ZoneEntry> = { "d.example": { fails: { aaaa: "timeout" } } };
  assert.equal((await failure(fails, "d.example", { families: "ipv4" })).cause.kind, "dns");
  // And what has no address at all is not waited for.
  assert.equal((await failure(six, "gone.example", { families: "ipv4" })).lasting, "permanent");
});

test("the answer stays fresh as long as its shortest part, within bounds", async () => {
  const resolved = await resolve(
    { "d.example": { mx: ["1 a.example"], ttlMs: 600_000 }, "a.example": { a: ["192.0.2.1"], ttlMs: 90_000 } },
    "d.example",
  );
  assert.ok(resolved.ok);
  assert.equal(resolved.freshUntilAt, 90_000);
});

test("what could not be looked up, or has no address for now, is looked for again before the others' records end", async () => {
  const freshFor = async (zone: Record<string, ZoneEntry>): Promise<number> => {
    const resolved = await resolve(zone, "d.example");
    assert.ok(resolved.ok);
    return resolved.freshUntilAt;
  };
  const all = { mx: ["10 a.example", "20 b.example"], ttlMs: 3_600_000 };
  const b = { a: ["192.0.2.2"], ttlMs: 3_600_000 };
  const half: ZoneEntry = { aaaa: ["2001:db8::1"], ttlMs: 3_600_000, fails: { a: "servfail" } };
  assert.equal(await freshFor({ "d.example": all, "b.example": b, "a.example": { fails: "timeout" } }), 120_000);
  assert.equal(await freshFor({ "d.example": all, "b.example": b, "a.example": half }), 120_000, "one family of it");
  assert.equal(await freshFor({ "d.example": all, "b.example": b, "a.example": { ttlMs: 60_000 } }), 60_000);
  const only: ZoneEntry = { a: ["192.0.2.1"], ttlMs: 3_600_000 };
  assert.equal(await freshFor({ "d.example": all, "b.example": b, "a.example": only }), 3_600_000);
});

test("a zone is read from text", async () => {
  const zone = zoneFromText(
    "d.example. 300 IN MX 10 a.example. ; best\na.example A 192.0.2.1\nx.example FAIL timeout\n",
  );
  const mx = await zone.mx("d.example");
  assert.ok(mx.kind === "found");
  assert.deepEqual(mx.records, [{ preference: 10, exchange: "a.example" }]);
  assert.equal((await zone.ipv4("x.example")).kind, "failed");
  assert.deepEqual(await zone.ptr("192.0.2.1").then((answer) => (answer.kind === "found" ? answer.records : [])), [
    "a.example",
  ]);
  assert.throws(() => zoneFromText("nonsense"), TypeError);
});
