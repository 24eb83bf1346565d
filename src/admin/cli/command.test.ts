import { test } from "node:test";
import assert from "node:assert/strict";
import { parseGiven } from "./command.ts";
import { log } from "./log/log.ts";

test("a query whose first line is a remark, as the manual has them, is the value of its option", () => {
  const query = "-- failed logins by client\nSELECT peer FROM events";
  assert.equal(parseGiven(log, ["--sql", query]).text("sql"), query);
  assert.equal(parseGiven(log, [`--sql=${query}`]).text("sql"), query);
  assert.throws(
    () => parseGiven(log, ["--sql", "--json"]),
    /^PosthornError: posthorn log: --sql needs a value: QUERY$/,
  );
  assert.throws(() => parseGiven(log, ["-- what", "x"]), /unknown option/);
});

test("an option that lacks its value says what belongs there", () => {
  for (const argv of [["--since"], ["--since", "--json"], ["--since", "-f", "posthorn.yaml"]])
    assert.throws(() => parseGiven(log, argv), /posthorn log: --since needs a value: /);
  assert.throws(() => parseGiven(log, ["-f"]), /posthorn log: --file needs a value: FILE/);
  assert.throws(() => parseGiven(log, ["--json=x"]), /does not take an argument/);
});
