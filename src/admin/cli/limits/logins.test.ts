import assert from "node:assert/strict";
import { test } from "node:test";
import { NOON, posthorn } from "../../../testing/command-world.ts";

test("show logins tells who is slowed down and blocked, and logins clear forgets one or all", async () => {
  const row = {
    what: "address",
    key: "192.0.2.7",
    state: "blocked",
    failures: 20,
    sinceAt: NOON - 60_000,
    lastAt: NOON - 1000,
    untilAt: NOON + 840_000,
    delayMs: 8000,
  };
  const slow = { ...row, what: "account", key: "ann", state: "slowed", failures: 3, delayMs: 2000 };
  const shown = await posthorn(["show", "logins"], { answers: { "logins.show": [row, slow] } });
  assert.equal(shown.code, 0);
  assert.match(shown.out, /^STATE +WHAT +WHO +FAILURES +SINCE/);
  assert.match(shown.out, /blocked +address +192\.0\.2\.7 +20 .* 14m *\n/);
  assert.match(shown.out, /slowed +account +ann +3 .* 14m +2s\n/);
  const json = await posthorn(["show", "logins", "--json"], { answers: { "logins.show": [row] } });
  assert.deepEqual(JSON.parse(json.out), row);
  assert.equal((await posthorn(["show", "logins"], { answers: { "logins.show": [] } })).code, 1);

  const cleared = await posthorn(["logins", "clear", "ann"], { answers: { "logins.clear": { cleared: 1 } } });
  assert.equal(cleared.out, "1 record forgotten\n");
  assert.deepEqual(cleared.asked.at(-1)?.slice(1), ["logins.clear", { which: "ann" }]);
  const all = await posthorn(["logins", "clear", "--all"], { answers: { "logins.clear": { cleared: 0 } } });
  assert.deepEqual(all.asked.at(-1)?.slice(1), ["logins.clear", {}]);
  assert.equal(all.code, 1);
  for (const argv of [
    ["logins", "clear"],
    ["logins", "clear", "--all", "ann"],
  ])
    assert.equal((await posthorn(argv)).code, 64);
});
