import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { problemLine } from "../service/config/config.ts";
import { parseSettings } from "../service/config/parse.ts";
import { readYaml } from "../service/config/yaml.ts";
import { defaultRules } from "../mail/envelope/default-rules.ts";
import { checkRoutes } from "./check/routes.ts";
import { checkSettings } from "./check/check.ts";
import { checkTlsPolicy } from "./check/tls-policy.ts";
import { posthornSettings, type WrittenSettings } from "./settings/settings.ts";

const folder = new URL("../../docs/manual/", import.meta.url);
/** Whose examples are of another kind of file. */
const OTHERS: readonly string[] = ["policy-tests.md", "simulate.md"];
const examples = readdirSync(folder)
  .filter((page) => page.endsWith(".md") && !OTHERS.includes(page))
  .flatMap((page) => [...readFileSync(new URL(page, folder), "utf8").matchAll(/```yaml\n([\s\S]*?)```/g)])
  .map((match) => match[1] ?? "");

/** An example of a filter need not say who asks it. */
const FINE = /this filter is never asked/;

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
  const { settings } = parsed.value;
  const found = [
    ...checkSettings(parsed.value),
    // What their tables say, and which addresses a machine has, no example tells.
    ...checkTlsPolicy(parsed.value, {}),
    ...checkRoutes(parsed.value, settings.route.shaping, []).filter(({ severity }) => severity === "error"),
  ];
  assert.deepEqual(
    found.filter(({ text }) => !FINE.test(text)).map((problem) => `${problemLine(problem)}\n${text}`),
    [],
  );
  return settings;
}

test("every example in the manual is accepted by the check, without a warning", () => {
  assert.ok(examples.length >= 3);
  for (const example of examples) parse(example);
});

test("the rules that the manual calls the default are the default", () => {
  const written = examples.map((example) => parse(example).rules);
  assert.ok(written.some((rules) => isDeepStrictEqual(rules, defaultRules)));
});
