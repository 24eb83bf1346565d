import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseShapingRule, shapingEntryProblem } from "./shaping-text.ts";

test("a rule on one line has the names and values of the settings", () => {
  const rule = parseShapingRule(
    "connections=2 rate=100/min  mails-per-connection=20 connect-timeout=10s together.rate=500/min sources=192.0.2.1,192.0.2.2",
  );
  assert.ok(rule.ok);
  assert.deepEqual(rule.value, {
    connections: 2,
    rate: { count: 100, perMs: 60_000 },
    mailsPerConnection: 20,
    connectTimeout: 10_000,
    together: { rate: { count: 500, perMs: 60_000 } },
    sources: [
      { address: "192.0.2.1", weight: 1 },
      { address: "192.0.2.2", weight: 1 },
    ],
  });
  assert.deepEqual(parseShapingRule("retry=5m,1h"), {
    ok: true,
    value: { retry: { by: "list", waits: [300_000, 3_600_000] } },
  });
  assert.deepEqual(parseShapingRule("sources=pool:bulk"), { ok: true, value: { sources: { pool: "bulk" } } });
});

test("what is wrong with a line is said", () => {
  for (const [text, problem] of [
    ["", /says nothing/],
    ["connections", /expected name=value/],
    ["conections=2", /unknown name conections; did you mean connections\?/],
    ["connections=2 connections=3", /connections is written twice/],
    ["rate=fast", /rate: expected a rate such as/],
    ["together=1", /unknown name/],
    ["together.sources=pool:x", /unknown name/],
    ["connections=0", /connections: /],
    ["__proto__=1", /expected name=value/],
  ] as const) {
    const rule = parseShapingRule(text);
    assert.ok(!rule.ok, text);
    assert.match(rule.problem, problem);
  }
  assert.match(shapingEntryProblem("192.0.2.1", "connections=1") ?? "", /mx:192\.0\.2\.1/);
  assert.match(shapingEntryProblem("example.org", undefined) ?? "", /expected limits behind the pattern/);
  assert.match(shapingEntryProblem("example.org", "connections-per-source=1") ?? "", /goes with a pattern mx:/);
  assert.equal(shapingEntryProblem("mx:example.org", "connections-per-source=1"), undefined);
  assert.match(shapingEntryProblem("mx:example.org", "retry=5m") ?? "", /without mx:/);
});

test("no text makes the parser throw", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseShapingRule(text)));
});
