import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { routeSettings } from "./settings.ts";
import { keysFor, parseShapingPattern } from "./shaping.ts";
import { domainTerms, hostTerms, smallest, sourcesOf, sourceTerms } from "./terms.ts";

const route = routeSettings.parse({
  limits: { host: 10, route: 5, mailsPerSession: 100 },
  sources: [{ address: "192.0.2.1", weight: 3, connections: 7, helo: "out1.example" }, "192.0.2.2"],
  pools: { bulk: ["198.51.100.1"] },
  shaping: {
    "*": { rate: "1000/min" },
    "*.example.com": { connections: 2, rate: "100/min", mailsPerConnection: 20, together: { connections: 9 } },
    "a.example.com": { connections: 4 },
    "mx:*.google.com": { connections: 20, together: { rate: "500/min" } },
    "mx:*.l.google.com": { mailsPerConnection: 50 },
    "mx:slow.example": { connections: 8, connectionsPerSource: 1 },
    "mx:[IPv6:2001:DB8:0::1]": { connections: 1 },
    "Bücher.example": { sources: "pool:bulk" },
  },
});

test("the most exact pattern decides, value by value, and says where it stands", () => {
  const terms = domainTerms(route, "a.example.com");
  assert.deepEqual(terms.domain, {
    value: 4,
    path: ["route", "shaping", "a.example.com", "connections"],
    pattern: "a.example.com",
  });
  assert.deepEqual(terms.rate?.value, { count: 100, perMs: 60_000 });
  assert.deepEqual(terms.rate?.path, ["route", "shaping", "*.example.com", "rate"]);
  assert.equal(domainTerms(route, "b.c.example.com").domain.value, 2);
  assert.deepEqual(domainTerms(route, "elsewhere.example").rate?.path, ["route", "shaping", "*", "rate"]);
});

test("a wildcard stands for whole labels, and not for none", () => {
  assert.equal(domainTerms(route, "example.com").domain.value, 100);
  assert.equal(domainTerms(route, "badexample.com").domain.value, 100);
  assert.equal(hostTerms(route, "aspmx.l.google.com", "192.0.2.9").host.value, 20);
  assert.equal(hostTerms(route, "google.com", undefined).host.value, 10);
});

test("without a rule the general limits hold, and are named", () => {
  const terms = hostTerms(route, "mx.elsewhere.example", "192.0.2.9");
  assert.deepEqual(terms.host, { value: 10, path: ["route", "limits", "host"] });
  assert.deepEqual(terms.route, { value: 5, path: ["route", "limits", "route"] });
  assert.deepEqual(domainTerms(route, undefined).domain, { value: 100, path: ["route", "limits", "domain"] });
});

test("connections that a host is allowed are allowed to one of our addresses, unless it is said otherwise", () => {
  assert.equal(hostTerms(route, "mx.google.com", undefined).route.value, 20);
  assert.equal(hostTerms(route, "slow.example", undefined).host.value, 8);
  assert.equal(hostTerms(route, "slow.example", undefined).route.value, 1);
});

test("an address is more exact than any name", () => {
  assert.equal(hostTerms(route, "aspmx.l.google.com", "2001:db8::1").host.value, 1);
});

test("of what domain and host say about mails in a session the smaller one holds", () => {
  const domain = domainTerms(route, "a.example.com");
  const host = hostTerms(route, "aspmx.l.google.com", undefined);
  assert.equal(smallest(route, "mailsPerSession", domain, host).value, 20);
  assert.equal(smallest(route, "mailsPerSession", host).value, 50);
  assert.equal(smallest(route, "mailsPerSession").value, 100);
});

test("rules that count all they match as one hold besides the more exact ones", () => {
  assert.deepEqual(
    domainTerms(route, "a.example.com").groups.map(({ pattern, connections }) => [pattern, connections?.value]),
    [["*.example.com", 9]],
  );
  assert.deepEqual(hostTerms(route, "alt1.aspmx.l.google.com", undefined).groups[0]?.rate?.value, {
    count: 500,
    perMs: 60_000,
  });
});

test("a source has its own limits and name, and a pool its addresses", () => {
  assert.deepEqual(sourceTerms(route, [], "192.0.2.1").connections, {
    value: 7,
    path: ["route", "sources", 0, "connections"],
  });
  assert.equal(sourceTerms(route, [], "192.0.2.1").helo, "out1.example");
  assert.deepEqual(sourceTerms(route, [], "192.0.2.2").connections.path, ["route", "limits", "source"]);
  const choice = domainTerms(route, "xn--bcher-kva.example").sources;
  assert.deepEqual(choice === undefined ? [] : sourcesOf(route, choice.value).map((one) => one.address), [
    "198.51.100.1",
  ]);
});

test("wrong patterns, and two of one meaning, are refused at their place", () => {
  const problems = (shaping: object): string[] => {
    const parsed = routeSettings.safeParse({ shaping });
    return parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  };
  assert.match(
    problems({ "192.0.2.1": { connections: 1 } })[0] ?? "",
    /^shaping\.192\.0\.2\.1: an address is a host's/,
  );
  assert.match(problems({ "mx*.example": { connections: 1 } })[0] ?? "", /whole labels/);
  assert.match(problems({ "a..example": { connections: 1 } })[0] ?? "", /expected a domain/);
  assert.match(problems({ ".a.example": { rate: "1/s" }, "*.a.example": { rate: "1/s" } })[0] ?? "", /means the same/);
  assert.match(
    problems({ "a.example": { connections: 1 }, "A.Example.": { connections: 2 } })[0] ?? "",
    /means the same as a\.example/,
  );
  assert.match(problems({ "a.example": { rate: "fast" } })[0] ?? "", /a rate such as 100\/min/);
});

test("no text makes a pattern fail otherwise than by being refused, and what is taken matches by labels", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const pattern = parseShapingPattern(text);
      if (pattern.ok) assert.equal(typeof pattern.value.key, "string");
    }),
  );
  const label = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(
      fc.array(label, { minLength: 1, maxLength: 4 }),
      fc.array(label, { minLength: 1, maxLength: 4 }),
      (name, suffix) => {
        const pattern = parseShapingPattern(`*.${suffix.join(".")}`);
        assert.ok(pattern.ok);
        const expected = name.length > suffix.length && name.slice(-suffix.length).join(".") === suffix.join(".");
        assert.equal(keysFor(name.join(".")).includes(pattern.value.key), expected);
      },
    ),
  );
});
