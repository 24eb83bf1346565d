import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE, NOON, posthorn } from "../../../testing/command-world.ts";

test("schedule takes ids and domains, now or at an instant; what is wrong is said before the server is asked", async () => {
  const answers = { "queue.retry": { envelopes: 2 }, "queue.schedule": { envelopes: 1 } };
  const now = await posthorn(["schedule", MESSAGE, "d.example"], { answers });
  assert.equal(now.out, "4 envelopes due now\n");
  assert.deepEqual(
    now.asked.map(([socket, name, args]) => [socket, name, args]),
    [
      ["change", "queue.retry", { selector: { by: "domain", domain: "d.example" } }],
      ["change", "queue.retry", { selector: { by: "message", id: MESSAGE } }],
    ],
  );
  const later = await posthorn(["schedule", "D.example", "--in", "90m"], { answers });
  assert.equal(later.out, "1 envelope due at 2026-11-21 13:30:00 (in 1h30m)\n");
  const at = await posthorn(["schedule", "--sender", "<>", "--at", "23:00"], { answers });
  assert.deepEqual(at.asked[0]?.[2], { selector: { by: "sender", sender: "" }, at: NOON + 11 * 3_600_000 });
  for (const wrong of [
    ["schedule"],
    ["schedule", "a@b.example"],
    ["schedule", "d.example", "--at", "soon"],
    ["schedule", "d.example", "--at", "2026-11-20"],
    ["schedule", "d.example", "--at", "13:00", "--in", "1h"],
  ]) {
    const { code, asked } = await posthorn(wrong, { answers });
    assert.deepEqual([code, asked], [64, []], wrong.join(" "));
  }
});

test("schedule does not take a domain together with another way to say which", async () => {
  for (const other of [["--all"], ["--sender", "a@b.test"], ["--route", "mx.test"]]) {
    const { code, asked } = await posthorn(["schedule", "x.test", ...other]);
    assert.deepEqual([code, asked], [64, []], other.join(" "));
  }
});
