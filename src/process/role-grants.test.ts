import assert from "node:assert/strict";
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
