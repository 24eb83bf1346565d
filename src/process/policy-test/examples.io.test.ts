import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { runPolicyTests } from "./run-policy-tests.ts";

const DOCS = resolve(import.meta.dirname, "../../../docs");

test("the examples of the manual hold: hooks, cases and tests in code", async () => {
  const cwd = join(DOCS, "examples/policy");
  const { outcomes } = await runPolicyTests({ settings: join(cwd, "posthorn.yaml"), files: [], cwd }, () => {});
  assert.equal(outcomes.length, 9);
  assert.deepEqual(
    outcomes.filter(({ isPassed }) => !isPassed),
    [],
  );
});

test("what the manual shows of hooks is what is tried here", () => {
  const page = readFileSync(join(DOCS, "manual/hooks.md"), "utf8");
  const example = readFileSync(join(DOCS, "examples/hooks.ts"), "utf8").replace(/^\/\*\*.*?\*\/\n/s, "");
  assert.ok(page.includes(example), "docs/manual/hooks.md has docs/examples/hooks.ts as it is");
});
