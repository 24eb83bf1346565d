import assert from "node:assert/strict";
import { test } from "node:test";
import { chainProblems, unchained } from "./named-chains.ts";
import { filtersSettings } from "./settings.ts";

const junk = { builtin: { phase: "connect", action: "junk" } };
const settings = filtersSettings.parse({
  a: junk,
  b: junk,
  c: junk,
  both: { chain: ["a", "b"] },
  all: { chain: ["c", "both"] },
});

test("a chain stands for its members, in its place and in their order", () => {
  assert.deepEqual(unchained(["both", "c"], settings), ["a", "b", "c"]);
  assert.deepEqual(unchained(["all"], settings), ["c", "a", "b"]);
});

test("who is named twice is asked once, where that is first", () => {
  assert.deepEqual(unchained(["b", "both", "b"], settings), ["b", "a"]);
});

test("chains without faults are not complained about", () => {
  assert.deepEqual(chainProblems(settings), []);
});

test("a member that there is not is told where it stands", () => {
  const broken = filtersSettings.parse({ a: junk, x: { chain: ["a", "ghost"] } });
  assert.deepEqual(chainProblems(broken), [{ path: ["filters", "x", "chain", 1], text: "there is no filter ghost" }]);
  assert.deepEqual(unchained(["x"], broken), ["a", "ghost"]);
});

test("chains that come back to themselves are told, and end", () => {
  const round = filtersSettings.parse({ a: junk, x: { chain: ["y"] }, y: { chain: ["a", "x"] }, z: { chain: ["z"] } });
  assert.deepEqual(
    chainProblems(round).map(({ path }) => path.join(".")),
    ["filters.x.chain.0", "filters.y.chain.1", "filters.z.chain.0"],
  );
  assert.deepEqual(unchained(["x", "z"], round), ["a"]);
});
