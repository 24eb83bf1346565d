import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeDirectories } from "./make-directories.io.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-directories-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("what is missing above a directory is made with it, and what is there is left as it is", () => {
  const path = join(folder, "a", "b", "c");
  assert.equal(makeDirectories(path, 0o700), join(folder, "a"));
  assert.equal(statSync(join(folder, "a", "b")).mode & 0o777, 0o700);
  assert.equal(makeDirectories(path), undefined);
  assert.equal(makeDirectories("/"), undefined);
  symlinkSync(path, join(folder, "link"));
  assert.equal(makeDirectories(join(folder, "link")), undefined);
});

test("a place where nothing can be made is an error, not a wait for ever", () => {
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => makeDirectories(join(folder, "file")), { code: "EEXIST" });
  assert.throws(() => makeDirectories(join(folder, "file", "below")), { code: "ENOTDIR" });
  symlinkSync(join(folder, "gone"), join(folder, "dangling"));
  assert.throws(() => makeDirectories(join(folder, "dangling", "below")));
  assert.throws(() => makeDirectories("/proc/posthorn/run"), { code: "ENOENT" });
});
