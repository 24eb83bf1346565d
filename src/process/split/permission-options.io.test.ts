import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { permissionOptions } from "./permission-options.io.ts";

let root = "";
const FOLDERS = ["a", "ab", "a/c", "a/cd", "a/c/e", "b"];
const FILES = ["a/f", "a/c/f", "a/c/fg", "a/cd/f", "a/c.d", "a/c/e/f", "ab/f", "b/f", "bf", "d"];
const ALL = [...FOLDERS, ...FILES];

before(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "posthorn-permission-")));
  for (const folder of FOLDERS) mkdirSync(join(root, folder));
  for (const file of FILES) writeFileSync(join(root, file), "");
});
after(() => rmSync(root, { recursive: true }));

/** Of all paths those that a process with these grants may read, or write. */
function allowed(access: "read" | "write", read: readonly string[], write: readonly string[]): readonly string[] {
  const within = (path: string): string => `${root}/${path}`;
  const options = permissionOptions({
    program: [],
    read: read.map(within),
    write: write.map(within),
    mayUseThreads: false,
    mayLoadLibraries: false,
  });
  const code = `JSON.stringify(${JSON.stringify(ALL)}.filter((path) => process.permission.has("fs.${access}", ${JSON.stringify(`${root}/`)} + path)))`;
  const { stdout, stderr } = spawnSync(process.execPath, [...options, "-p", code], { cwd: "/", encoding: "utf8" });
  assert.equal(stderr, "");
  const paths: unknown = JSON.parse(stdout);
  assert.ok(Array.isArray(paths) && paths.every((path) => typeof path === "string"));
  return paths;
}

test("a folder may be listed also where a file in it, or one named like it, is granted too", () => {
  assert.deepEqual(allowed("read", ["a/c/f", "a/c", "a/c/*"], []), ["a/c", "a/c/e", "a/c/f", "a/c/fg", "a/c/e/f"]);
  assert.deepEqual(allowed("read", ["bf", "b", "b/*"], []), ["b", "b/f", "bf"]);
  assert.deepEqual(allowed("read", ["bf", "b/", "b//*"], []), ["b", "b/f", "bf"]);
  assert.deepEqual(allowed("read", ["d"], ["bf", "b"]), ["b", "b/f", "bf", "d"]);
  assert.deepEqual(allowed("write", ["d"], ["bf", "b"]), ["b", "b/f", "bf"]);
});

test("what the program's folder is beside is nobody's for that", () => {
  const options = permissionOptions({
    program: [join(root, "b")],
    read: [join(root, "bf"), join(root, "a")],
    write: [],
    mayUseThreads: false,
    mayLoadLibraries: false,
  });
  const words = ["b", "b/*", "bf", "a", "a/*"].map((path) => `--allow-fs-read=${join(root, path)}`);
  assert.deepEqual(options.toSorted(), ["--permission", ...words].toSorted());
});

test("whatever is granted together, all of it may be read, and beyond it only what is named like a granted folder", () => {
  const grant = fc.constantFrom(...ALL, ...FOLDERS.flatMap((folder) => [`${folder}/*`]));
  fc.assert(
    fc.property(fc.uniqueArray(grant, { minLength: 1, maxLength: 6 }), (given) => {
      // A pattern comes with its folder, as roles name them.
      const grants = [...new Set(given.flatMap((path) => (path.endsWith("/*") ? [path.slice(0, -2), path] : [path])))];
      const folders = grants.filter((path) => FOLDERS.includes(path));
      const isMeant = (path: string): boolean =>
        grants.includes(path) || folders.some((folder) => path.startsWith(`${folder}/`));
      const found = allowed("read", grants, []);
      assert.deepEqual(
        ALL.filter((path) => isMeant(path) && !found.includes(path)),
        [],
      );
      const beyond = found.filter((path) => !isMeant(path));
      assert.deepEqual(
        beyond.filter((path) => !folders.some((folder) => path.startsWith(folder))),
        [],
      );
    }),
    { numRuns: 40 },
  );
});
