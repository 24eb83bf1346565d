import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const PRELOAD = pathToFileURL(join(import.meta.dirname, "property-seed.ts")).href;
const SCRIPT = `
  import * as fc from "fast-check";
  import byDefault from "fast-check";
  const drawn = [];
  fc.assert(fc.property(fc.nat(), (n) => void drawn.push(n)), { numRuns: 4 });
  let ordinary = 0;
  byDefault.assert(byDefault.property(byDefault.nat(), () => void ordinary++));
  console.log(JSON.stringify({ drawn, ordinary }));
`;

function run(env: Readonly<Record<string, string>>): { drawn: number[]; ordinary: number } {
  const ended = spawnSync(process.execPath, [`--import=${PRELOAD}`, "--input-type=module", "--eval", SCRIPT], {
    encoding: "utf8",
    cwd: resolve(import.meta.dirname, ".."),
    env: { ...process.env, ...env },
  });
  assert.equal(ended.status, 0, ended.stderr);
  return JSON.parse(ended.stdout) as { drawn: number[]; ordinary: number };
}

test("properties draw the same values from the same seed, others from another", () => {
  const first = run({ POSTHORN_SEED: "7", POSTHORN_RUNS: "1" });
  assert.deepEqual(run({ POSTHORN_SEED: "7", POSTHORN_RUNS: "1" }), first);
  assert.notDeepEqual(run({ POSTHORN_SEED: "8", POSTHORN_RUNS: "1" }).drawn, first.drawn);
});

test("properties run so many times their runs as the command says, those too that say how many they want", () => {
  const { drawn, ordinary } = run({ POSTHORN_SEED: "7", POSTHORN_RUNS: "3" });
  assert.equal(drawn.length, 12);
  assert.equal(ordinary, 300);
});
