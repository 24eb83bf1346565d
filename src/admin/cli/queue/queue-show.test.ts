import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE, NOON, posthorn } from "../../../testing/command-world.ts";

test("queue show says where the attempts are that it leaves out of a message to very many", async () => {
  const origin = { listener: "smtp", protocol: "ESMTP", session: "S" };
  const message = { id: MESSAGE, sender: "a@b.example", receivedAt: NOON, sizeBytes: 1, content: "7bit", origin };
  const envelope = { id: `${MESSAGE}.1`, recipient: "x@c.example", action: "relay", notify: [] };
  const progress = { state: "queued", attempts: 9, expiresAt: NOON };
  const answers = {
    "queue.show": { message, envelopes: [{ envelope, progress, attempts: [], earlierAttempts: 9 }] },
    "queue.why": [],
  };
  const { out } = await posthorn(["queue", "show", MESSAGE], { answers });
  assert.ok(out.includes(`attempt    9 before: posthorn queue show ${MESSAGE}.1\n`), out);
});
