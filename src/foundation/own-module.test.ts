import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { ownModule, ownRoot } from "./own-module.ts";

test("a module is found by its name below the sources, with their extension", () => {
  assert.match(ownModule("process/split/worker-main").href, /^file:\/\/.*\/src\/process\/split\/worker-main\.ts$/);
  assert.ok(existsSync(ownModule("process/split/worker-main")));
});

test("the program's folder is the one with package.json", () => {
  assert.ok(existsSync(new URL("package.json", ownRoot)));
});
