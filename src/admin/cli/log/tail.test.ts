import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE, NOON, posthorn } from "../../../testing/command-world.ts";

test("tail shows events as lines until the stream ends, and says what it missed", async () => {
  const from = { role: "server", pid: 7, startedAt: 0 };
  const record = { at: NOON, name: "queue.removed", level: "info", from, fields: { message: MESSAGE } };
  const { out, err } = await posthorn(["tail"], { items: [{ record }, { missed: 3 }, { record }] });
  assert.equal(out.match(/removed/g)?.length, 2);
  assert.match(err, /3 events were left out/);
});
