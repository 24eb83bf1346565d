import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { firstCommentOf } from "./script-arguments.ts";

const ROOT = resolve(import.meta.dirname, "..");
const scripts = globSync(["bench/*.ts", "tools/*.ts"], { cwd: ROOT, exclude: ["**/*.test.ts"] }).filter((file) =>
  readFileSync(join(ROOT, file), "utf8").includes(" = scriptArguments("),
);

test("every script says in its first comment what it takes", () => {
  assert.ok(scripts.length >= 15, scripts.join(", "));
  for (const script of scripts) {
    const source = readFileSync(join(ROOT, script), "utf8");
    const help = firstCommentOf(source);
    assert.ok(help.length > 40 && !help.includes("/**"), `${script}: ${help}`);
    const options = [...source.matchAll(/^ {4}"?([a-z-]+)"?: \{ type: "/gm)].map(([, name]) => `--${name}`);
    for (const option of options)
      assert.ok(help.includes(option), `${script} does not say what ${option} is:\n${help}`);
  }
});

test("--help prints it, and an unknown word ends the script with one line and a status", () => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [join(ROOT, "bench", "starting.ts"), ...words], { encoding: "utf8" });
  const helped = run("--help");
  assert.deepEqual([helped.status, helped.stderr], [0, ""]);
  assert.match(helped.stdout, /^What a start of a split server costs: .*\[--runs N\] \[TREE\.\.\.\]`\.\n$/s);
  const refused = run("--ruins", "9");
  assert.deepEqual([refused.status, refused.stdout], [2, ""]);
  assert.match(refused.stderr, /^\S*starting\.ts: Unknown option '--ruins'; --help shows what it takes\n$/);
});
