import assert from "node:assert/strict";
import { test } from "node:test";
import { posthorn } from "../../../testing/command-world.ts";

test("an account that nothing was counted of is answered with those that are meant, perhaps", async () => {
  const rows = [{ account: "ada@example.org" }, { account: "bert@example.org" }];
  const { code, out } = await posthorn(["senders", "clear", "Ada"], {
    answers: { "senders.clear": { cleared: 0 }, "senders.show": rows },
  });
  assert.equal(code, 1);
  assert.equal(out, "nothing was counted of an account Ada; did you mean ada@example.org?\n");
});
