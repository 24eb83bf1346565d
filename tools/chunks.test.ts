import assert from "node:assert/strict";
import { test } from "node:test";
import { beginnings, planChunks, type Built } from "./chunks.ts";
import { entries } from "./entries.ts";

interface Drawn {
  readonly imports?: readonly string[];
  readonly characters?: number;
}

/** What a bundler could make: a file for each module, those that something begins with among them. */
function built(drawn: Readonly<Record<string, Drawn>>): readonly Built[] {
  const begun = new Set(Object.values(beginnings).flat());
  const all = { ...Object.fromEntries([...begun].map((name): [string, Drawn] => [name, {}])), ...drawn };
  return Object.entries(all).map(([name, { imports = [], characters = 100 }]) => ({
    type: "chunk",
    name,
    fileName: fileOf(name),
    code: "x".repeat(characters),
    imports: imports.map(fileOf),
    moduleIds: [`src/${name}.ts`],
    isEntry: begun.has(name),
    isDynamicEntry: false,
  }));
}

function fileOf(name: string): string {
  return name.startsWith("node:") ? name : `${name}.js`;
}

function planOf(drawn: Readonly<Record<string, Drawn>>) {
  const plan = planChunks(built(drawn), (name) => `src/${name}.ts`);
  return plan
    .map(({ name, modules }): [string, string[]] => [name, [...modules].sort()])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const LARGE = 100_000;

test("what the same processes load becomes one file, named like the largest part; what comes later stays apart", () => {
  const plan = planOf({
    "process/split/worker-main": { imports: ["both", "small-of-both"] },
    "process/split/worker-egress": { imports: ["sending"] },
    both: { characters: LARGE },
    "small-of-both": {},
    sending: { characters: LARGE },
    "asked-for-later": { imports: ["both"] },
  });
  assert.deepEqual(plan, [
    ["both", ["src/both.ts", "src/small-of-both.ts"]],
    ["sending", ["src/sending.ts"]],
  ]);
});

test("a small part goes where a few more read it, a large one does not", () => {
  const drawn = (characters: number) => ({
    "process/split/worker-main": { imports: ["all"] },
    "process/split/worker-egress": { imports: ["some"] },
    "process/split/worker-ingress": { imports: ["some"] },
    all: { characters: LARGE },
    some: { characters },
  });
  assert.deepEqual(planOf(drawn(500)), [["all", ["src/all.ts", "src/some.ts"]]]);
  assert.deepEqual(planOf(drawn(5000)), [
    ["all", ["src/all.ts"]],
    ["some", ["src/some.ts"]],
  ]);
});

test("nobody reads a package or a large part because a small one that needs it was joined", () => {
  const drawn = (needs: string) => ({
    "process/split/worker-main": { imports: ["all"] },
    "process/split/worker-egress": { imports: ["some"] },
    "process/split/worker-ingress": { imports: ["some"] },
    all: { characters: LARGE, imports: ["node:fs"] },
    some: { imports: [needs] },
    large: { characters: LARGE },
  });
  assert.deepEqual(
    planOf(drawn("node:http")).map(([name]) => name),
    ["all", "some"],
  );
  // What both of the large one's readers read may be one file with it, and is.
  assert.deepEqual(planOf(drawn("large")), [
    ["all", ["src/all.ts"]],
    ["large", ["src/large.ts", "src/some.ts"]],
  ]);
  assert.deepEqual(planOf(drawn("node:fs")), [["all", ["src/all.ts", "src/some.ts"]]]);
});

test("what a process begins with has to be there, and all that stands for itself is what something begins with", () => {
  const without = built({}).filter((file) => !("name" in file) || file.name !== "process/split/worker-log");
  assert.throws(
    () => planChunks(without, (name) => `src/${name}.ts`),
    /src\/process\/split\/worker-log\.ts was not built: is it what log begins with\?/,
  );
  const begun = Object.values(beginnings).flat();
  assert.deepEqual(
    entries.filter((name) => !begun.includes(name)),
    [],
  );
});
