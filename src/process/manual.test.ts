import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { problemLine } from "../service/config/config.ts";
import { parseSettings } from "../service/config/parse.ts";
import { readYaml } from "../service/config/yaml.ts";
import { defaultRules } from "../mail/envelope/default-rules.ts";
import { checkSettings } from "./check-settings.ts";
import { posthornSettings, type WrittenSettings } from "./settings.ts";

const manual = [
  "settings",
  "tls",
  "senders",
  "accounts",
  "restrictions",
  "filters",
  "content-filter",
  "mail-authentication",
]
  .map((page) => readFileSync(new URL(`../../docs/manual/${page}.md`, import.meta.url), "utf8"))
  .join("\n");
const examples = [...manual.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");

function parse(text: string): WrittenSettings {
  const { root, problems } = readYaml(text, "manual");
  assert.deepEqual(problems.map(problemLine), []);
  assert.ok(root);
  const parsed = parseSettings(posthornSettings, {
    root,
    file: "manual",
    directory: "/etc/posthorn",
    spelling: "kebab",
  });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  assert.deepEqual(checkSettings(parsed.value).map(problemLine), []);
  return parsed.value.settings;
}

test("every example in the manual is accepted by the check, without a warning", () => {
  assert.ok(examples.length >= 3);
  for (const example of examples) parse(example);
});

test("the rules that the manual calls the default are the default", () => {
  const written = examples.map((example) => parse(example).rules);
  assert.ok(written.some((rules) => isDeepStrictEqual(rules, defaultRules)));
});
