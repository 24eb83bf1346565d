import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { programFolders } from "./role-grants.ts";

test("a worker may read its libraries wherever the package manager put them", () => {
  assert.deepEqual(programFolders("/home/ann/posthorn"), ["/home/ann/posthorn"]);
  assert.deepEqual(programFolders("/srv/mail/node_modules/posthorn"), [
    "/srv/mail/node_modules/posthorn",
    "/srv/mail/node_modules",
  ]);
  const store = "/srv/mail/node_modules/.pnpm/posthorn@1.0.0/node_modules/posthorn";
  assert.deepEqual(programFolders(store), [store, "/srv/mail/node_modules"]);
});

test("a worker may read the libraries that a second working tree shares with the first by a link", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "posthorn-grants-")));
  try {
    const [first, second] = [join(folder, "first"), join(folder, "second")] as const;
    mkdirSync(join(first, "node_modules"), { recursive: true });
    mkdirSync(second);
    symlinkSync(join(first, "node_modules"), join(second, "node_modules"));
    assert.deepEqual(programFolders(first), [first]);
    assert.deepEqual(programFolders(second), [second, join(first, "node_modules")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
