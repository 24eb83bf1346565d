import assert from "node:assert/strict";
import { test } from "node:test";
import { ruleProblems } from "./rules.ts";
import { posthornSettings } from "../settings/settings.ts";

function told(written: object): readonly string[] {
  const settings = posthornSettings.parse(written);
  return ruleProblems(settings).map(({ path, severity, text }) => `${severity} ${path.join(".")}: ${text}`);
}

test("rules that make sense are not complained about", () => {
  assert.deepEqual(told({}), []);
  assert.deepEqual(
    told({
      listeners: [{ name: "inside", port: 2525, tag: "Trusted" }],
      rules: [
        { name: "a", match: { listener: ["inside", "local"] }, action: "relay" },
        { name: "b", match: { tag: "trusted", not: { tag: "table:t" } }, action: "relay" },
        { match: { for: "local" }, action: "deliver" },
      ],
    }),
    [],
  );
});

test("a rule that is never reached is told, with the one in front of it", () => {
  assert.deepEqual(
    told({
      rules: [
        { name: "ours", match: { for: ["local", "*.example.org"] }, action: "deliver" },
        { match: { from: "auth" }, action: "relay" },
        { match: { for: "a.example.org", tls: true }, action: "relay" },
        { match: { from: "auth", helo: "x.example" }, action: "deliver" },
      ],
    }),
    [
      "warning rules.2: is never reached: rules[0] (ours) in front of it matches all that this one does",
      "warning rules.3: is never reached: rules[1] in front of it matches all that this one does",
    ],
  );
});

test("a rule for everything is told once, and those behind it not one by one", () => {
  assert.deepEqual(told({ rules: [{ action: "deliver" }, { match: { for: "local" }, action: "deliver" }] }), [
    "warning rules.0: matches everything: the rules behind it are never reached",
  ]);
});

test("two rules of one name are an error", () => {
  const rules = [
    { name: "x", match: { for: "local" }, action: "deliver" },
    { name: "x", match: { from: "auth" }, action: "relay" },
  ];
  assert.deepEqual(told({ rules }), ["error rules.1.name: rules[0] has this name already"]);
});

test("listeners and tags that there are not are told", () => {
  const rules = [
    { match: { listener: ["ghost"], for: "local" }, action: "deliver" },
    { match: { tag: "red", not: { tag: ["junk"] } }, action: "deliver" },
  ];
  assert.deepEqual(told({ rules }), [
    "warning rules.0.match.listener.0: there is no listener ghost",
    "warning rules.1.match.tag.0: nothing has the tag red: no listener, and no filter that is asked",
    "warning rules.1.match.not.tag.0: nothing has the tag junk: no listener, and no filter that is asked",
  ]);
});

test("listeners and tags that a filter is for, and that there are not, are told", () => {
  const filters = {
    spam: { rspamd: "http://127.0.0.1:11333", match: { listener: "smpt", not: { tag: "Inside" } } },
    scan: { clamd: "127.0.0.1:3310", match: { listener: "local", tag: "spam" } },
  };
  assert.deepEqual(told({ filters, filteredBy: ["spam", "scan"] }), [
    "warning filters.spam.match.listener.0: there is no listener smpt",
    "warning filters.spam.match.not.tag.0: nothing has the tag inside: no listener, and no filter that is asked",
  ]);
});

test("each kind of filter gives tags of its own", () => {
  const about = (filter: object, tags: readonly string[]): number => {
    const rules = tags.map((tag) => ({ match: { tag, for: "local" }, action: "deliver" }));
    return told({ rules, filters: { f: filter }, filteredBy: ["f"] }).filter((text) => /nothing has/.test(text)).length;
  };
  const judged = ["spf=softfail", "spf-helo=none", "dkim=pass", "DMARC=fail", "arc=fail", "dmarc-arc=pass"];
  assert.equal(about({ authenticate: {} }, judged), 0);
  assert.equal(about({ authenticate: {} }, ["dmarc=fial", "dmark=fail", "dmarc-fail", "spam"]), 4);
  assert.equal(about({ spamc: "127.0.0.1:783" }, ["spam"]), 0);
  assert.equal(about({ milter: "inet:127.0.0.1:1" }, ["spam"]), 1);
  assert.equal(about({ http: { servers: "http://127.0.0.1:1" } }, ["whatever"]), 0);
});

test("tags that filters may give are no mistake, where these filters are asked", () => {
  const rules = [{ match: { tag: "junk", for: "local" }, action: "deliver" }];
  const filters = { f: { builtin: { phase: "connect", action: "junk" } }, all: { chain: ["f"] } };
  assert.equal(told({ rules, filters }).length, 1);
  assert.deepEqual(told({ rules, filters, filteredBy: ["all"] }), []);
  const anyTag = [{ match: { tag: "anything", for: "local" }, action: "deliver" }];
  assert.equal(told({ rules: anyTag, filters, filteredBy: ["all"] }).length, 1);
  const hooks = { h: { module: "./hooks.ts" } };
  assert.deepEqual(told({ rules: anyTag, filters: hooks, filteredBy: ["h"] }), []);
});
