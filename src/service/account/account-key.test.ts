import assert from "node:assert/strict";
import { test } from "node:test";
import { accountKey } from "./account-key.ts";

test("writings that tables, databases and directories take for one account are one", () => {
  const writings = [
    "jane",
    "JANE",
    "jane.",
    " jane  ",
    "ja\u00adne",
    "\uff4aane",
    "jan\u00e9",
    "jan\u0001e",
    "\u200bjane",
  ];
  assert.deepEqual(new Set(writings.map(accountKey)), new Set(["jane"]));
  assert.equal(accountKey("Jane@B\u00fccher.example."), accountKey("jane@bucher.example"));
  assert.equal(accountKey("anna  ma\u00dfen"), "anna massen");
});

test("other names are others, in scripts whose vowels are marks too", () => {
  const names = ["jane", "jane+x", "jan.e", "jane@example.org", "\u0915\u093f", "\u0915\u093e", "\u7530\u4e2d"];
  assert.equal(new Set(names.map(accountKey)).size, names.length);
});
