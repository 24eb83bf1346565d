import assert from "node:assert/strict";
import { test } from "node:test";
import { shadowRefusal } from "./shadow.ts";

const TODAY = 20_000;
const open = { hash: "$y$...", lastChangeDay: TODAY - 10 };

test("an account with a password and no limits is open", () => {
  assert.equal(shadowRefusal(open, TODAY), undefined);
  assert.equal(shadowRefusal({ ...open, mostDays: 99_999 }, TODAY), undefined);
});

test("a locked account, one without a password, and one without a login are refused", () => {
  for (const hash of ["!", "!$y$...", "!!", "*", ""])
    assert.notEqual(shadowRefusal({ ...open, hash }, TODAY), undefined, hash);
});

test("an account is open until the day before it expires", () => {
  assert.equal(shadowRefusal({ ...open, expiresDay: TODAY + 1 }, TODAY), undefined);
  assert.equal(shadowRefusal({ ...open, expiresDay: TODAY }, TODAY), "the account has expired");
});

test("a password is good for its days and those of grace, and no longer", () => {
  assert.equal(shadowRefusal({ ...open, mostDays: 10 }, TODAY), undefined);
  assert.equal(shadowRefusal({ ...open, mostDays: 9 }, TODAY), "the password has expired");
  assert.equal(shadowRefusal({ ...open, mostDays: 9, graceDays: 1 }, TODAY), undefined);
  assert.equal(shadowRefusal({ ...open, lastChangeDay: 0 }, TODAY), "the password must be changed first");
});
