import assert from "node:assert/strict";
import { test } from "node:test";
import { restrictionsSettings } from "../../mail/envelope/restrictions/settings.ts";
import { restrictionProblems } from "./restrictions.ts";
import { posthornSettings } from "../settings/settings.ts";

/** Tables asked for, and what is told, with its place. */
function problemsOf(written: object): readonly string[] {
  const tables: string[] = [];
  const problems = restrictionProblems(posthornSettings.parse(written), (name, path) =>
    tables.push(`${path.join(".")}: ${name}`),
  );
  return [...tables, ...problems.map(({ path, text }) => `${path.join(".")}: ${text.split(":")[0]}`)];
}
const smtp = { name: "smtp", port: 25 };

test("each table that a restriction names is looked for, at its place", () => {
  assert.deepEqual(
    problemsOf({
      listeners: [{ ...smtp, restrictions: [{ helo: ["ours", "table:c"] }] }],
      restrictions: [{ permit: "table:a" }, { sender: "table:b" }],
    }),
    ["restrictions.0.permit: a", "restrictions.1.sender: b", "listeners.0.restrictions.0.helo.1: c"],
  );
});

test("entries behind one that is for everybody are told, unless it only warns", () => {
  const behind = (first: object): readonly string[] =>
    problemsOf({ listeners: [smtp], restrictions: [first, { helo: "ours" }] });
  assert.deepEqual(behind({ permit: "any" }), ["restrictions.0: permits everybody"]);
  assert.deepEqual(behind({ reject: ["any", "192.0.2.1"] }), ["restrictions.0: refuses everybody"]);
  assert.deepEqual(behind({ reject: ["any", "!192.0.2.1"] }), []);
  assert.deepEqual(behind({ reject: "any", warnOnly: true }), []);
  assert.deepEqual(problemsOf({ listeners: [smtp], restrictions: [{ helo: "ours" }, { reject: "any" }] }), []);
});

test("lists in the DNS that never come to their total are told", () => {
  const lists = (dnsLists: object): readonly string[] =>
    problemsOf({ listeners: [smtp], restrictions: [{ dnsLists }] });
  const [one, two, trusted] = ["a.example", { zone: "b.example", weight: 2 }, { zone: "c.example", weight: -5 }];
  assert.deepEqual(lists({ lists: [one, two, trusted], reject: 3 }), []);
  assert.deepEqual(lists({ lists: [one, two, trusted], reject: 4 }), [
    "restrictions.0.dnsLists: never refuses anything",
  ]);
  assert.deepEqual(lists({ lists: [one, two], reject: 4, defer: 3 }), []);
  assert.deepEqual(lists({ lists: [trusted] }), ["restrictions.0.dnsLists: never refuses anything"]);
});

test("what closes one stage hides nothing of another", () => {
  const behind = (entry: object): readonly string[] =>
    problemsOf({ listeners: [smtp], restrictions: [{ reject: "any", when: "data" }, entry] });
  assert.deepEqual(behind({ helo: "ours" }), []);
  assert.deepEqual(behind({ rate: { by: "sender", count: "messages", limit: "1/h" } }), [
    "restrictions.0: refuses everybody",
  ]);
});

test("an action that a policy server's FILTER is to mean must be there", () => {
  const policy = (action: string): object => ({ policy: { at: "inet:127.0.0.1:1", filters: { "smtp:x": action } } });
  assert.deepEqual(problemsOf({ listeners: [smtp], restrictions: [policy("relay")] }), []);
  assert.deepEqual(problemsOf({ listeners: [smtp], restrictions: [policy("scan")] }), [
    "restrictions.0.policy.filters.smtp:x: there is no action scan",
  ]);
});

test("what counts users, or greylists strangers, needs no permit for logins", () => {
  const submission = { name: "submission", port: 587, protocol: "submission" };
  const restrictions = [{ rate: { by: "account", limit: "1/h" } }, { greylist: {} }];
  assert.deepEqual(problemsOf({ listeners: [submission], restrictions }), []);
});

test("an entry is asked where what it asks is known, and nowhere before", () => {
  for (const [entry, isRight] of [
    [{ greylist: {}, when: "rcpt" }, true],
    [{ greylist: {}, when: "mail" }, false],
    [{ sender: "unlisted", when: "helo" }, false],
    [{ helo: "ours", when: "connect" }, false],
    [{ helo: "ours", when: "data" }, true],
    [{ helo: "ours", when: "helo", answer: "at-once" }, true],
    [{ helo: "ours", answer: "at-once" }, false],
    [{ rate: { by: "recipient", count: "messages", limit: "1/h" } }, false],
    [{ rate: { by: "sender", count: "bytes", limit: "1MiB/h" }, when: "rcpt" }, false],
    [{ callout: "recipient", when: "data" }, false],
    [{ policy: "unix:/run/p.sock", when: "connect" }, true],
    [{ policy: "10023" }, false],
    [{ policy: "inet:127.0.0.1" }, false],
  ] as const)
    assert.equal(restrictionsSettings.safeParse([entry]).success, isRight, JSON.stringify(entry));
});

test("a listener with logins is told when its restrictions would be asked of those who have logged in", () => {
  const submission = { name: "submission", port: 587, protocol: "submission" };
  const restrictions = [{ helo: "ours" }];
  assert.equal(problemsOf({ listeners: [smtp], restrictions }).length, 0);
  assert.equal(problemsOf({ listeners: [submission], restrictions }).length, 1);
  assert.equal(problemsOf({ listeners: [{ ...submission, restrictions: [] }], restrictions }).length, 0);
  assert.equal(problemsOf({ listeners: [{ ...smtp, restrictions }, submission] }).length, 0);
  assert.equal(problemsOf({ listeners: [submission], restrictions: [{ permit: "auth" }, ...restrictions] }).length, 0);
});
