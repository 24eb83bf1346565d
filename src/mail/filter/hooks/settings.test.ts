import assert from "node:assert/strict";
import { test } from "node:test";
import { filterSettings } from "../settings.ts";
import { readCode } from "../../../service/config/code.ts";
import { defineHooks } from "./hooks.ts";

test("a module is a path or a block, with what its running costs", () => {
  const short = filterSettings.parse({ module: "/etc/posthorn/hooks.ts" });
  assert.deepEqual(short.module, {
    file: "/etc/posthorn/hooks.ts",
    worker: false,
    stuckAfter: 2000,
    memory: 256 * 2 ** 20,
  });
  const long = filterSettings.parse({
    module: { file: "/hooks.ts", worker: true, stuckAfter: "500ms", memory: "64MiB" },
  });
  assert.deepEqual(long.module, { file: "/hooks.ts", worker: true, stuckAfter: 500, memory: 64 * 2 ** 20 });
  assert.throws(() => filterSettings.parse({ module: { worker: true } }));
});

test("code in a settings file becomes its place there, which leads to the hooks again", () => {
  const hooks = defineHooks({ onConnect: () => undefined });
  const { root, problems } = readCode(
    { filters: { "a.b/c": { hooks } } },
    "posthorn.config.ts",
    undefined,
    "/etc/posthorn/posthorn.config.ts",
  );
  assert.deepEqual(problems, []);
  const written = "code:/etc/posthorn/posthorn.config.ts#/filters/a.b%2Fc/hooks";
  assert.ok(root !== undefined);
  assert.match(JSON.stringify(root), new RegExp(RegExp.escape(written)));
  const { hooks: place } = filterSettings.parse({ hooks: written as unknown as typeof hooks });
  assert.equal(place?.file, "/etc/posthorn/posthorn.config.ts");
  assert.deepEqual(place?.within, ["filters", "a.b/c", "hooks"]);
});

test("hooks in line where there is no code are refused with the way to write them", () => {
  for (const wrong of ["./hooks.ts", "code:/x#/%zz"])
    assert.match(String(filterSettings.safeParse({ hooks: wrong }).error), /module: \.\/hooks\.ts/);
});
