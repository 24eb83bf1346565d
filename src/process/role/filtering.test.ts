import assert from "node:assert/strict";
import { test } from "node:test";
import { filterProblems } from "../check/filters.ts";
import { filterGrantsOf, filtersInUse, rulesAskTags } from "./filtering.ts";
import { posthornSettings } from "../settings/settings.ts";

const SCANNER = { clamd: "127.0.0.1:3310" };

function problemsOf(written: Record<string, unknown>): readonly string[] {
  const told: string[] = [];
  const settings = posthornSettings.parse(written);
  const found = filterProblems(settings, {
    filter: (name, path) => settings.filters[name] ?? told.push(`${path.join(".")}: no filter ${name}`),
    table: (name, path) => told.push(`${path.join(".")}: table ${name}`),
    action: (name, path) => told.push(`${path.join(".")}: action ${name}`),
  });
  return [...told, ...found.map(({ path, text, severity }) => `${severity} ${path.join(".")}: ${text}`)];
}

test("filters that are nowhere are told with their place, and those that nobody asks", () => {
  assert.deepEqual(
    problemsOf({
      filters: { used: SCANNER, idle: SCANNER },
      filteredBy: ["used", "lost"],
      listeners: [{ name: "smtp", port: 25, filteredBy: ["away"] }],
    }),
    [
      "filteredBy.1: no filter lost",
      "listeners.0.filteredBy.0: no filter away",
      "warning filters.idle: this filter is never asked: no `filtered-by` names it",
    ],
  );
});

test("a filter behind one that passes all mail on is told, for it is shown none", () => {
  const proxy = { smtpProxy: "smtp://127.0.0.1:10025" };
  assert.deepEqual(
    problemsOf({
      filters: {
        scan: SCANNER,
        proxy,
        sign: { rspamd: "http://127.0.0.1:11333" },
        all: { chain: ["proxy", "scan"] },
      },
      filteredBy: ["scan", "proxy"],
      listeners: [
        { name: "smtp", port: 25, filteredBy: ["all"] },
        { name: "other", port: 26, filteredBy: ["sign", "proxy"] },
      ],
    }),
    [
      "warning listeners.0.filteredBy: scan is not shown the mail that proxy, in front of it, passes on: ask it before proxy, or at the listener behind it",
    ],
  );
  const some = { ...proxy, match: { mailFrom: "@far.example" } };
  assert.deepEqual(problemsOf({ filters: { scan: SCANNER, some }, filteredBy: ["some", "scan"] }), []);
});

test("tables in the conditions of filters are looked for, negated ones too", () => {
  assert.deepEqual(
    problemsOf({
      filters: { a: { ...SCANNER, match: { mailFrom: "table:friends", not: { from: "table:nets" } } } },
      filteredBy: ["a"],
    }),
    ["filters.a.match.mailFrom.0: table friends", "filters.a.match.not.from.0: table nets"],
  );
});

test("a filter in a chain is in use where the chain is; reception is granted only what filters in use need", () => {
  const settings = posthornSettings.parse({
    filters: {
      both: { chain: ["one", "two"] },
      one: SCANNER,
      two: { process: ["/usr/bin/filter"] },
      idle: { module: { file: "/etc/hooks/idle.ts", worker: true } },
    },
    filteredBy: ["both"],
  });
  assert.deepEqual(filtersInUse(settings), ["one", "two"]);
  assert.deepEqual(filterGrantsOf(settings), { read: [], mayRunPrograms: true, mayUseThreads: false });
  const withHooks = { ...settings, filteredBy: ["idle"] };
  assert.deepEqual(filterGrantsOf(withHooks), {
    read: ["/etc/hooks", "/etc/hooks/*"],
    mayRunPrograms: false,
    mayUseThreads: true,
  });
});

test("rules are asked again for tags of filters only where one of them looks at tags", () => {
  const rules = (match: Record<string, unknown>) => posthornSettings.parse({ rules: [{ match, action: "deliver" }] });
  assert.equal(rulesAskTags(posthornSettings.parse({})), false);
  assert.equal(rulesAskTags(rules({ for: "local" })), false);
  assert.equal(rulesAskTags(rules({ tag: "spam" })), true);
  assert.equal(rulesAskTags(rules({ not: { tag: "spam" } })), true);
});
