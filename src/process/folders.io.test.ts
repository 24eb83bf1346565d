import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { foldersOf, makeFolders } from "./folders.ts";

test("the way to the sockets is open and the mail is not, whatever file mask the service was started with", () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-folders-"));
  const before = process.umask();
  try {
    for (const mask of [0o077, 0o000]) {
      const folders = foldersOf(join(directory, String(mask), "state"));
      process.umask(mask);
      makeFolders(folders, undefined);
      assert.equal(process.umask(), mask);
      const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
      assert.deepEqual([folders.state, folders.run].map(modeOf), ["755", "755"]);
      assert.deepEqual([folders.queue, folders.journal, folders.channels].map(modeOf), ["700", "700", "700"]);
    }
  } finally {
    process.umask(before);
    rmSync(directory, { recursive: true, force: true });
  }
});
