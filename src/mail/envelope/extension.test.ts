import assert from "node:assert/strict";
import { test } from "node:test";
import { namesOf } from "./extension.ts";

test("a name is known with its extension and without, at the first of the delimiters that is not its beginning", () => {
  assert.deepEqual(namesOf("Jane+Lists", "+"), ["jane+lists", "jane"]);
  assert.deepEqual(namesOf("jane-a+b", "+-"), ["jane-a+b", "jane"]);
  assert.deepEqual(namesOf("jane-a+b", "+"), ["jane-a+b", "jane-a"]);
  assert.deepEqual(namesOf("+jane", "+"), ["+jane"]);
  assert.deepEqual(namesOf("jane+", "+"), ["jane+", "jane"]);
  assert.deepEqual(namesOf("jane+x", ""), ["jane+x"]);
});

test("where a minus divides names, those of lists' owners and of the mail system stay whole", () => {
  for (const name of ["owner-staff", "Owner-Staff-all", "staff-request", "MAILER-DAEMON"])
    assert.deepEqual(namesOf(name, "-"), [name.toLowerCase()]);
  assert.deepEqual(namesOf("owner-staff+x", "+-"), ["owner-staff+x", "owner-staff"]);
  assert.deepEqual(namesOf("owner+x", "+-"), ["owner+x", "owner"]);
  assert.deepEqual(namesOf("mailer-daemons", "-"), ["mailer-daemons", "mailer"]);
});
