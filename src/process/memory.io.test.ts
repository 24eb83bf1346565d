import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { memoryEnvironment, memoryOptions } from "./memory.ts";

/**
 * Lets much survive for a while, in turns of the event loop as a server would, and prints how large the young generation
 * mostly was, in MiB. (While V8 marks the old one, the young one may be larger for some turns whatever it is told.)
 */
const PROGRAM = `
import { getHeapSpaceStatistics } from "node:v8";
if (process.env.BOUND) (await import(process.env.BOUND)).boundOwnMemory("supervisor");
const ring = new Array(150_000);
const sizes = [];
for (let turn = 0; turn < 240; turn++) {
  for (let at = 0; at < 10_000; at++) ring[(turn * 10_000 + at * 7919) % ring.length] = { at, more: [at, at, at, at] };
  await new Promise((done) => setImmediate(done));
  sizes.push(getHeapSpaceStatistics().find((one) => one.space_name === "new_space").space_size / 2 ** 20);
}
console.log(sizes.sort((one, other) => one - other)[120]);
`;

function youngest(env: Record<string, string>, options: readonly string[] = []): number {
  const args = [...options, "--disable-warning=ExperimentalWarning", "--input-type=module", "-e", PROGRAM];
  const { NODE_OPTIONS: _, ...own } = process.env;
  return Number(execFileSync(process.execPath, args, { env: { ...own, ...env }, encoding: "utf8" }));
}

test("the young generation of a process that runs already is bounded, as with the option", () => {
  const unbounded = youngest({});
  assert.ok(unbounded > 16, `the load does not make it grow: ${unbounded} MiB`);
  const BOUND = new URL("memory.ts", import.meta.url).href;
  const bounded = youngest({ BOUND });
  assert.ok(bounded <= 16, `two halves of 4 MiB, or once more: ${bounded} MiB`);
  assert.equal(youngest({}, memoryOptions("supervisor")), 8);
  assert.ok(youngest({ BOUND, NODE_OPTIONS: "--max-semi-space-size=64" }) > 16, "what the operator says holds");
});

test("each process gets its bound, unless the operator gave one", () => {
  const was = process.env["NODE_OPTIONS"];
  try {
    delete process.env["NODE_OPTIONS"];
    assert.deepEqual(memoryOptions("ingress"), ["--min-semi-space-size=8", "--max-semi-space-size=8"]);
    process.env["NODE_OPTIONS"] = "--max-semi-space-size=2";
    assert.deepEqual(memoryOptions("ingress"), []);
  } finally {
    if (was === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = was;
  }
  assert.deepEqual(memoryEnvironment(), { MALLOC_ARENA_MAX: process.env["MALLOC_ARENA_MAX"] ?? "2" });
});
