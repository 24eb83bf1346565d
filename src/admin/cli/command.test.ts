import { test } from "node:test";
import assert from "node:assert/strict";
import { parseGiven } from "./command.ts";
import { log } from "./log/log.ts";

test("a query whose first line is a remark, as the manual has them, is the value of its option", () => {
  const query = "-- failed logins by client\nSELECT peer FROM events";
  assert.equal(parseGiven(log, ["--sql", query]).text("sql"), query);
  assert.equal(parseGiven(log, [`--sql=${query}`]).text("sql"), query);
  assert.throws(() => parseGiven(log, ["--sql", "--json"]), /ambiguous|argument missing/);
  assert.throws(() => parseGiven(log, ["-- what", "x"]), /unknown option/);
});
