import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { NEXT_VERSION, nextNode } from "./endurance/nodes.ts";

const RUN = join(import.meta.dirname, "endurance", "run.ts");

/** The long form is `node tools/tls-endurance.ts`. */
function endure(node: string): void {
  const run = spawnSync(
    node,
    ["--disable-warning=ExperimentalWarning", RUN, "--endings", "256", "--chaos", "500", "--hostile", "160"],
    { encoding: "utf8", timeout: 120_000 },
  );
  assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
  assert.match(run.stdout, /^all as it should be$/m);
}

test("the ends of 256 connections are told as they were, and no peer among 660 does harm or leaves anything open", () => {
  endure(process.execPath);
});

const next = nextNode();
const reason = next === undefined ? `Node ${NEXT_VERSION} is not here: node tools/tls-endurance.ts --fetch` : false;
test(`the same on Node ${NEXT_VERSION}`, { skip: reason }, () => {
  if (next !== undefined) endure(next);
});
