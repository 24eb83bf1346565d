import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { canSyncHere, syncHere } from "./sync-file.io.ts";

const WORK = `
import { closeSync, openSync, writeSync } from "node:fs";
const { canSyncHere, syncHere } = await import(process.argv[1]);
console.log(canSyncHere());
const fd = openSync(process.argv[2], "w");
writeSync(fd, "x");
for (const [call, at] of [["fdatasync", fd], ["fsync", fd], ["fsync", 9999]])
  try { syncHere(call, at); console.log(call, "ok"); } catch (thrown) { console.log(call, thrown.code); }
closeSync(fd);`;

test("a file is synced where the call is made, and what is wrong is the system's error", () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-sync-"));
  try {
    assert.equal(canSyncHere(), true);
    const fd = openSync(join(folder, "a"), "w");
    writeSync(fd, "x");
    syncHere("fdatasync", fd);
    syncHere("fsync", fd);
    closeSync(fd);
    assert.throws(() => syncHere("fsync", 9999), { code: "EBADF" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("under the permission model, too, with the C library and without", () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-sync-"));
  try {
    const module = new URL("./sync-file.io.ts", import.meta.url).href;
    const run = (...options: readonly string[]): string =>
      spawnSync(
        process.execPath,
        [
          "--permission",
          "--allow-fs-read=*",
          "--allow-fs-write=*",
          ...options,
          "--input-type=module",
          "-e",
          WORK,
          module,
          join(folder, "b"),
        ],
        { encoding: "utf8", cwd: fileURLToPath(new URL(".", import.meta.url)) },
      ).stdout;
    assert.equal(run("--allow-addons"), "true\nfdatasync ok\nfsync ok\nfsync EBADF\n");
    assert.match(run(), /^false\nfdatasync LIBRARY_UNAVAILABLE\n/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
