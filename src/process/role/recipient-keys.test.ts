import assert from "node:assert/strict";
import { test } from "node:test";
import { mailboxNames } from "../../mail/delivery/mailbox/path-template.ts";
import { localSettings } from "../../mail/envelope/settings.ts";
import { recipientKeys } from "./recipient-keys.ts";

test("a recipient is looked for by address, then by name; a quoted name never by what is another's address", () => {
  const keysOf = recipientKeys(localSettings.parse({ users: "table:users" }));
  const keys = (recipient: string, isVirtual = false): readonly string[] =>
    keysOf(mailboxNames(recipient, "+"), isVirtual);
  assert.deepEqual(keys("Jane+x@example.org"), ["jane@example.org", "jane"]);
  assert.deepEqual(keys("jane@example.org", true), ["jane@example.org"]);
  assert.deepEqual(keys('"bob@b.example"@a.example'), ['"bob@b.example"@a.example']);
  assert.deepEqual(keys('"bob smith"@a.example'), ['"bob smith"@a.example', "bob smith"]);
});
