import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { z } from "zod";
import { inlineTable, type Tables } from "../../service/table/tables.ts";
import type { SessionFactsForRules } from "./policy.ts";
import { rulesPolicy } from "./rules.ts";
import { ownActions } from "./default-rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings, type Rule } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";
import { shadowedRules } from "./shadowed-rules.ts";

type Written = NonNullable<z.input<typeof rulesSettings>>;
type WrittenMatch = NonNullable<Written[number]["match"]>;

const actions = { ...ownActions, ...actionsSettings.parse({ no: { reject: {} }, a: { relay: {} }, b: { relay: {} } }) };

function rulesOf(written: Written): readonly Rule[] {
  return rulesSettings.parse(written) ?? [];
}

/** Whether a second rule is never reached behind a first one. */
function isShadowed(first: WrittenMatch, second: WrittenMatch, does = ["a", "b"]): boolean {
  const [one = "", other = ""] = does;
  const rules = rulesOf([
    { match: first, action: one },
    { match: second, action: other },
  ]);
  return shadowedRules(rules, actions).some(({ rule, by }) => rule === 1 && by === 0);
}

test("a rule behind one that matches as much or more is never reached", () => {
  assert.ok(isShadowed({}, { for: "example.org" }));
  assert.ok(isShadowed({ for: "example.org" }, { for: "example.org" }));
  assert.ok(isShadowed({ for: "*.org" }, { for: ["a.org", "*.b.org"] }));
  assert.ok(isShadowed({ from: "any" }, { mailFrom: "<>" }));
  assert.ok(isShadowed({ from: "192.0.2.0/24" }, { from: ["192.0.2.7", "192.0.2.128/25"], tls: true }));
  assert.ok(isShadowed({ mailFrom: "@spam.example" }, { mailFrom: "x@spam.example", for: "local" }));
  assert.ok(isShadowed({ mailFrom: "spam.example" }, { mailFrom: "@spam.example" }));
  assert.ok(isShadowed({ not: { auth: "any" } }, { not: { auth: "any" }, tls: false }));
  assert.ok(isShadowed({ not: { tls: true } }, { tls: false }));
  assert.ok(isShadowed({ for: "table:ours" }, { for: "table:ours", helo: "x" }));
});

test("a rule that something can reach is not complained about", () => {
  assert.ok(!isShadowed({ for: "example.org" }, {}));
  assert.ok(!isShadowed({ for: "example.org" }, { for: ["example.org", "example.net"] }));
  assert.ok(!isShadowed({ from: "192.0.2.0/24" }, { from: "192.0.2.0/23" }));
  assert.ok(!isShadowed({ from: ["any", "!192.0.2.1"] }, { from: "192.0.2.0/24" }));
  assert.ok(!isShadowed({ auth: "any" }, { for: "local" }));
  assert.ok(!isShadowed({ helo: "any" }, { for: "local" }));
  assert.ok(!isShadowed({ for: "table:ours" }, { for: "table:theirs" }));
  assert.ok(!isShadowed({ not: { auth: "eve" } }, { for: "local" }));
});

test("who refuses strangers in front still lets mail of our own through", () => {
  assert.ok(!isShadowed({ from: "any" }, { for: "example.org" }, ["no", "a"]));
  assert.ok(isShadowed({ from: "any" }, { for: "example.org" }, ["no", "no"]));
  assert.ok(isShadowed({ for: "example.org" }, { for: "example.org", tls: true }, ["no", "a"]));
});

const DOMAINS = ["example.org", "a.example.org", "b.a.example.org", "example.net"];
const PEOPLE = ["x@example.org", "y@a.example.org", "x@example.net"];
const PATTERNS = [...DOMAINS, "*.example.org", "*.org", "*", "table:some"];
const negated = (of: readonly string[]): fc.Arbitrary<string[]> =>
  fc
    .array(fc.tuple(fc.boolean(), fc.constantFrom(...of)), { minLength: 1, maxLength: 3 })
    .map((all) => all.map(([no, text]) => (no ? `!${text}` : text)));
const addresses = [...PATTERNS, ...PEOPLE, "@example.org", "@a.example.org", "x@", "any"];
const parts = {
  from: negated(["any", "local", "auth", "192.0.2.0/24", "192.0.2.128/25", "192.0.2.130", "table:nets"]),
  for: negated([...PATTERNS, "any", "local"]),
  mailFrom: negated([...addresses, "<>"]),
  rcptTo: negated(addresses),
  helo: negated([...PATTERNS, "any"].filter((one) => one !== "any")),
  auth: negated(["any", "alice", "eve"]),
  tag: negated(["any", "red", "blue"]),
  tls: fc.boolean(),
};
const some = (most: number): fc.Arbitrary<object> =>
  fc
    .subarray(Object.keys(parts) as (keyof typeof parts)[], { maxLength: most })
    .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, parts[name]]))));
const match = fc
  .tuple(some(2), fc.option(some(1), { nil: undefined, freq: 1 }))
  .map(([wanted, not]) => ({ ...wanted, ...(not === undefined ? {} : { not }) }));
const rule = fc.record({ match, action: fc.constantFrom("a", "b", "no") });
/** Some rules are others with something more to ask: chance alone makes few that are in each other's way. */
const rules = fc.array(fc.tuple(rule, fc.nat(3), fc.boolean()), { minLength: 2, maxLength: 4 }).map((all) =>
  all.map(([own, from, adds], at) => {
    const base = all[from];
    return adds && from < at && base !== undefined ? { ...own, match: { ...own.match, ...base[0].match } } : own;
  }),
);

const facts = fc.record({
  listener: fc.constant("smtp"),
  tag: fc.constantFrom(undefined, "red"),
  tags: fc.constantFrom([], ["blue"], ["blue", "red"]),
  clientAddress: fc.constantFrom(undefined, "127.0.0.1", "192.0.2.1", "192.0.2.130", "2001:db8::1"),
  helo: fc.constantFrom(undefined, ...DOMAINS),
  isEncrypted: fc.boolean(),
  account: fc.constantFrom(undefined, "alice", "eve"),
  sender: fc.constantFrom("", ...PEOPLE),
});

test("a rule that is called unreachable can be left out, and nothing is decided otherwise", async () => {
  const tables: Tables = new Map([
    ["some", inlineTable("some", { kind: "list", items: ["a.example.org", "x@example.net"] })],
    ["nets", inlineTable("nets", { kind: "list", items: ["192.0.2.0/25"] })],
  ]);
  const local = localSettings.parse({ domains: ["example.org"] });
  let found = 0;
  await fc.assert(
    fc.asyncProperty(
      rules,
      fc.array(fc.tuple(facts, fc.constantFrom(...PEOPLE)), { minLength: 5, maxLength: 5 }),
      async (written, asks: readonly (readonly [SessionFactsForRules, string])[]) => {
        const read = rulesOf(written);
        const shadowed = new Set(shadowedRules(read, actions).map(({ rule: at }) => at));
        if (shadowed.size === 0) return;
        found++;
        const policyOf = (some: readonly Rule[]): ReturnType<typeof rulesPolicy> =>
          rulesPolicy({ hostname: "mail.example.org", local, actions, rules: some, whereIs: () => "a rule" }, tables);
        const all = policyOf(read);
        const less = policyOf(read.filter((_, at) => !shadowed.has(at)));
        for (const [who, recipient] of asks) {
          assert.deepEqual(await less.judgeRecipient(who, recipient), await all.judgeRecipient(who, recipient));
          assert.deepEqual(await less.chooseTargets(recipient), await all.chooseTargets(recipient));
        }
      },
    ),
    { numRuns: 800 },
  );
  assert.ok(found > 30, `only ${found} of them had such a rule`);
});
