import assert from "node:assert/strict";
import { test } from "node:test";
import { NOON, posthorn } from "../../../testing/command-world.ts";

test("suspend says what, for how long and why; the name of a route may hold blanks; what cannot be is refused", async () => {
  const answers = { suspend: { envelopes: 3 }, unsuspend: [] };
  const timed = await posthorn(["suspend", "sender", "@a.example", "--for", "2h", "--because", "an incident"], {
    answers,
  });
  assert.equal(timed.code, 0);
  assert.match(
    timed.out,
    /^suspended sender @a\.example until .*; 3 envelopes held by it now, others when they are due$/m,
  );
  const [asked] = timed.asked;
  assert.deepEqual(asked?.slice(1, 2), ["suspend"]);
  assert.deepEqual(asked?.[2], {
    level: "sender",
    key: "@a.example",
    because: "an incident",
    by: "anna",
    untilAt: NOON + 7_200_000,
  });
  const route = await posthorn(["suspend", "route", "*", ">", "mx.example[192.0.2.1]:25"], { answers });
  assert.equal((route.asked[0]?.[2] as { key?: string } | undefined)?.key, "* > mx.example[192.0.2.1]:25");
  const everything = await posthorn(["suspend", "all"], { answers });
  assert.match(everything.out, /^suspended everything until it is lifted; /);
  for (const wrong of [
    ["nothing"],
    ["domain"],
    ["all", "x"],
    ["domain", "a", "b"],
    ["message", "nonsense"],
    ["route", "mx.example"],
  ])
    assert.equal((await posthorn(["suspend", ...wrong], { answers })).code, 64, wrong.join(" "));
  const missing = await posthorn(["unsuspend", "tenant", "acme"], { answers });
  assert.equal(missing.code, 1);
  assert.match(missing.err, /tenant acme is not suspended/);
});

test("holds shows who suspended what, since when, until when and why, and escapes what others wrote", async () => {
  const row = { level: "domain", key: "a.example", because: "so\u001b[2Jso", by: "ann", setAt: NOON - 60_000, held: 2 };
  const shown = await posthorn(["holds"], { answers: { suspensions: [row, { ...row, untilAt: NOON + 3_600_000 }] } });
  assert.equal(shown.code, 0);
  assert.match(shown.out, /^domain +a\.example +2 .* never +ann/m);
  assert.match(shown.out, / 1 ?h.* ann /);
  assert.doesNotMatch(shown.out, /\u001b/);
  const json = await posthorn(["holds", "--json"], { answers: { suspensions: [row] } });
  assert.deepEqual(JSON.parse(json.out), row);
  const none = await posthorn(["holds"], { answers: { suspensions: [] } });
  assert.deepEqual([none.code, none.out], [1, "nothing is suspended\n"]);
});
