import assert from "node:assert/strict";
import { test } from "node:test";
import { contentFilterProblems } from "./content-filters.ts";
import { posthornSettings, type SettingsInput } from "../settings/settings.ts";

const FILTER = "smtp://127.0.0.1:10025";
const BACK: NonNullable<SettingsInput["listeners"]>[number] = {
  name: "back",
  address: "127.0.0.1",
  port: 10_026,
  contentFilter: "none",
  filteredBy: [],
};

function problemsOf(written: SettingsInput): readonly string[] {
  return contentFilterProblems(posthornSettings.parse(written)).map(({ path, text }) => `${path.join(".")}: ${text}`);
}

test("a filter and the listener that it hands mail back to have nothing wrong", () => {
  assert.deepEqual(problemsOf({ listeners: [{ name: "smtp", port: 25, contentFilter: FILTER }, BACK] }), []);
  assert.deepEqual(
    problemsOf({ contentFilter: "lmtp+unix:/run/filter", listeners: [{ name: "smtp", port: 25 }, BACK] }),
    [],
  );
});

test("URLs that lead nowhere, or back to ourselves, are told", () => {
  for (const [contentFilter, says] of [
    ["http://127.0.0.1", /^contentFilter: expected one of the schemes/],
    ["backup://", /names no host/],
    ["smtp://127.0.0.1:10026", /the listener back is there/],
    ["smtp://localhost:10026", /the listener back is there/],
    [{ to: "smtp://friends@192.0.2.1" }, /there is no credentials entry friends/],
  ] as const)
    assert.match(problemsOf({ contentFilter, listeners: [{ name: "smtp", port: 25 }, BACK] })[0] ?? "", says);
});

test("a filter of all mail from which nothing can come back is warned of", () => {
  const listeners = [
    { name: "smtp", port: 25 },
    { name: "web", port: 80, protocol: "http", tls: "off" },
  ] as const;
  assert.match(
    problemsOf({ contentFilter: FILTER, listeners: [...listeners] })[0] ?? "",
    /one needs `content-filter: none`/,
  );
});

test("a rule with a filter has a name, and no two have the same", () => {
  const listeners = [{ name: "smtp", port: 25 }, BACK];
  const rule = { action: "deliver", contentFilter: FILTER };
  assert.match(problemsOf({ listeners, rules: [rule] })[0] ?? "", /^rules\.0\.contentFilter: .* needs a `name`/);
  const twice = [
    { ...rule, name: "one" },
    { name: "one", action: "deliver" },
  ];
  assert.deepEqual(problemsOf({ listeners, rules: twice }), [
    "rules.1.name: there is a rule called one already: rules[0]",
  ]);
  assert.deepEqual(problemsOf({ listeners, rules: [{ action: "deliver", contentFilter: "none" }] }), []);
});

test("a program before the queue hands mail to a listener that does not ask it again", () => {
  const at = (back: string, filteredBy: readonly string[]): SettingsInput => ({
    filters: { scan: { smtpProxy: { to: FILTER, return: back } }, all: { chain: ["scan"] } },
    filteredBy: ["all"],
    listeners: [
      { name: "smtp", port: 25 },
      { ...BACK, filteredBy: [...filteredBy] },
    ],
  });
  assert.deepEqual(problemsOf(at("back", [])), []);
  assert.match(
    problemsOf(at("back", ["all"]))[0] ?? "",
    /^filters\.scan\.smtpProxy\.return: the listener back asks it again/,
  );
  assert.match(problemsOf(at("bakc", []))[0] ?? "", /there is no listener bakc/);
  const circle = { filters: { scan: { smtpProxy: "smtp://127.0.0.1:10026" } }, listeners: [BACK] };
  assert.match(problemsOf(circle)[0] ?? "", /^filters\.scan\.smtpProxy: the listener back is there/);
});
