import assert from "node:assert/strict";
import { test } from "node:test";
import { createTables } from "../../../service/table/tables.ts";
import { tablesSettings } from "../../../service/table/settings.ts";
import { cpuWatch } from "../../../testing/cpu-watch.ts";
import { testFacts, testFilterWorld } from "../../../testing/filter-mail.ts";
import { actionsSettings } from "../../envelope/action-settings.ts";
import { rulesPolicy } from "../../envelope/rules.ts";
import { rulesSettings } from "../../envelope/rule-settings.ts";
import { localSettings } from "../../envelope/settings.ts";
import { builtinFilter } from "./builtin-filter.ts";
import { builtinFilterSettings } from "./settings.ts";

/** Each takes an engine that tries one way after the other longer than there is time, on the text behind it. */
const BOMBS: readonly (readonly [source: string, unit: string])[] = [
  ["^(a+)+$", "a"],
  ["^(a|a)*$", "a"],
  ["^(a|aa)+$", "a"],
  ["^([a-z]+)*$", "a"],
  ["^(.*a){12}$", "a"],
  ["(x+x+)+y", "x"],
];
const TEXT_BYTES = 100_000;
/** Of the processor, for each pattern: hundreds of times what it needs, and nothing beside ages of the universe. */
const MOST_MS = 3000;

for (const [source, unit] of BOMBS) {
  const text = `${unit.repeat(TEXT_BYTES)}!`;
  const tables = createTables(
    tablesSettings.parse({ bomb: { regexp: "/bomb" } }),
    () => ({ current: () => Promise.resolve({ ok: true, text: `/${source}/ x\n/!@rest\\./ y\n`, version: 1 }) }),
    () => assert.fail("nothing is wrong with it"),
  );

  test(`/${source}/ says no to ${TEXT_BYTES} characters at once, in a filter and in a table`, async () => {
    const world = { ...testFilterWorld(), tables };
    const usedMs = cpuWatch();
    for (const helo of [`/${source}/`, "table:bomb"]) {
      const settings = builtinFilterSettings.parse({ phase: "ehlo", match: { helo }, action: { reject: "550 no" } });
      const facts = testFacts({ helo: text });
      const verdict = await builtinFilter("b", settings, world)
        .open(facts)
        .ask({ stage: "helo", verb: "EHLO", name: text, facts }, new AbortController().signal);
      assert.equal(verdict.kind, "proceed");
    }
    const spent = usedMs();
    assert.ok(spent < 2 * MOST_MS, `${spent} ms`);
  });

  test(`/${source}/ says no to ${TEXT_BYTES} characters at once, as the table of a rule`, async () => {
    const policy = rulesPolicy(
      {
        hostname: "mx.example.org",
        local: localSettings.parse({ domains: ["example.org", "rest.example"] }),
        actions: actionsSettings.parse({}),
        rules: rulesSettings.parse([
          { match: { rcptTo: "table:bomb" }, action: "reject" },
          { match: { for: "local" }, action: "deliver" },
        ]),
      },
      tables,
    );
    const facts = { listener: "smtp", clientAddress: "192.0.2.1", isEncrypted: false, sender: "a@b.example" };
    const usedMs = cpuWatch();
    assert.equal((await policy.judgeRecipient(facts, `${text}@example.org`)).kind, "accept");
    assert.equal((await policy.judgeRecipient(facts, `${text}@rest.example`)).kind, "reject");
    const spent = usedMs();
    assert.ok(spent < 2 * MOST_MS, `${spent} ms`);
  });
}
