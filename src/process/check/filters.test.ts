import assert from "node:assert/strict";
import { test } from "node:test";
import { problemLine } from "../../service/config/config.ts";
import { parseSettings } from "../../service/config/parse.ts";
import { readYaml } from "../../service/config/yaml.ts";
import { checkSettings } from "./check.ts";
import { posthornSettings } from "../settings/settings.ts";

/** What the check says of settings in YAML, a line each without the place. */
function check(text: string): readonly string[] {
  const { root } = readYaml(text, "settings");
  assert.ok(root);
  const parsed = parseSettings(posthornSettings, { root, file: "settings", directory: "/etc", spelling: "kebab" });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return checkSettings(parsed.value).map((problem) => problemLine(problem).replace(/^settings:\d+:\d+: /, ""));
}

test("an action that a scanner's mail is to get must exist", () => {
  const settings = (action: string): string => `
filters:
  spam: { rspamd: { servers: "http://127.0.0.1:11333", action: ${action} } }
  more: { spamc: { servers: "127.0.0.1:783", action: ${action} } }
filtered-by: [spam, more]
actions:
  junk: { deliver: maildir, path: "/var/mail/{user}/.Junk" }
`;
  assert.deepEqual(check(settings("junk")), []);
  const said = check(settings("jnk"));
  assert.equal(said.length, 2);
  assert.match(said[0] ?? "", /filters\.spam\.rspamd\.action: .*jnk.*junk/);
  assert.match(said[1] ?? "", /filters\.more\.spamc\.action: .*jnk.*junk/);
});

test("a filter that no list names is told, a name that no filter has is an error", () => {
  assert.match(check("filters: { virus: { clamd: 127.0.0.1:3310 } }")[0] ?? "", /^warning: .*never asked/);
  const unknown = check("filters: { virus: { clamd: 127.0.0.1:3310 } }\nfiltered-by: [virus, vius]");
  assert.equal(unknown.length, 1);
  assert.match(unknown[0] ?? "", /filtered-by.*vius/);
});

test("one filter may stand without a list, as wherever one element is enough", () => {
  assert.deepEqual(
    check(
      "filters: { virus: { clamd: 127.0.0.1:3310 } }\nfiltered-by: virus\nlisteners: [{ name: a, port: 25, filtered-by: virus }]",
    ),
    [],
  );
  const unknown = check("filtered-by: vius");
  assert.match(unknown[0] ?? "", /^filtered-by: there is no filter vius/);
});

test("a filter of no kind or of two is told in the file's names; of a kind that is misspelt only the spelling", () => {
  const refusals = (text: string): readonly string[] => {
    const { root } = readYaml(text, "settings");
    assert.ok(root);
    const parsed = parseSettings(posthornSettings, { root, file: "settings", directory: "/etc", spelling: "kebab" });
    assert.ok(!parsed.ok);
    return parsed.problem.map((problem) => problemLine(problem));
  };
  const [two = "", ...more] = refusals("filters:\n  two: { clamd: 127.0.0.1:3310, smtp-proxy: smtp://127.0.0.1:25 }\n");
  assert.match(two, /^settings:2:3: filters\.two: expected exactly one of milter, .*; here are clamd and smtp-proxy$/);
  assert.deepEqual(more, []);
  assert.match(refusals("filters: { none: { timeout: 3s } }")[0] ?? "", /; none of them is there$/);
  const misspelt = refusals("filters: { mine: { miltr: inet:127.0.0.1:8891 } }");
  assert.equal(misspelt.length, 1);
  assert.match(misspelt[0] ?? "", /miltr: unknown name; did you mean milter\?/);
});
