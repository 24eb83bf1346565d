import assert from "node:assert/strict";
import { test } from "node:test";
import { posthorn } from "../../../testing/command-world.ts";

test("check exits with 78 and the lines of -n", async () => {
  const { code, err } = await posthorn(["check"]);
  assert.equal(code, 78);
  assert.match(err, /posthorn\.yaml:3:5/);
});
