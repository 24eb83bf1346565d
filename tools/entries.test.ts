import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { entries } from "./entries.ts";

const ROOT = resolve(import.meta.dirname, "..");
const sources = globSync("src/**/*.ts", { cwd: ROOT })
  .filter((file) => !/\.(?:test|suite)\.ts$/.test(file) && !file.startsWith("src/testing/"))
  .map((file) => ({ file, text: readFileSync(join(ROOT, file), "utf8") }));
const known: readonly string[] = entries;

test("every module that the program loads by its address is an entry of the build", () => {
  const asked = sources.flatMap(({ text }) => [
    ...[...text.matchAll(/\bownModule\("([^"]+)"\)/g)].map(([, name = ""]) => name),
    ...[...text.matchAll(/\bcreateThread<[^>]*>\(\s*"([^"]+)"/g)].map(([, name = ""]) => `mail/log/${name}`),
    ...[...text.matchAll(/\bsourceOf\(file, "([^"]+)"/g)].map(([, name = ""]) => name),
  ]);
  assert.ok(asked.length >= 10, `found only ${asked.join(", ")}`);
  assert.deepEqual(
    asked.filter((name) => !known.includes(name)),
    [],
  );
});

test("only own-module.ts asks where it stands: in a chunk that is another place", () => {
  const asking = sources.filter(({ text }) =>
    /import\.meta\.(?:dirname|filename|url)/.test(text.replaceAll("createRequire(import.meta.url)", "")),
  );
  assert.deepEqual(
    asking.map(({ file }) => file),
    ["src/foundation/own-module.ts"],
  );
});
