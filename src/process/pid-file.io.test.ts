import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runningPid, writePidFile } from "./pid-file.ts";

test("the file holds the process, and goes with it", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-pid-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "run", "posthornd.pid");
  const file = writePidFile(path, process.pid);
  assert.equal(readFileSync(path, "utf8"), `${process.pid}\n`);
  assert.equal(runningPid(path), process.pid);
  file.remove();
  assert.equal(existsSync(path), false);
});

test("a file left by a process that is gone is replaced, one of a process that runs is respected", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-pid-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "posthornd.pid");
  writeFileSync(path, "4194399\n");
  writePidFile(path, process.pid);
  assert.throws(() => writePidFile(path, process.pid + 1_000_000), { code: "SPOOL_IN_USE" });
  writeFileSync(path, "rubbish");
  writePidFile(path, process.pid);
});

test("a number that has passed to a process younger than the file names nobody", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-pid-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "posthornd.pid");
  writeFileSync(path, `${process.pid}\n`);
  assert.equal(runningPid(path), process.pid);
  utimesSync(path, 1_000_000_000, 1_000_000_000);
  assert.equal(runningPid(path), undefined);
});
