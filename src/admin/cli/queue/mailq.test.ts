import assert from "node:assert/strict";
import { test } from "node:test";
import type { LiveRow } from "../../../mail/scheduler/admin/admin.ts";
import type { ControlClient } from "../../control/control.ts";
import { parseGiven } from "../command.ts";
import { mailq } from "./mailq.ts";
import type { World } from "../world.ts";

const ARRIVED = Date.UTC(2026, 10, 1, 13, 28, 9);
const refusal = {
  lasting: "temporary",
  status: "4.4.1",
  cause: { kind: "connect", reason: "refused", text: "ECONNREFUSED" },
} as const;

function row(envelope: string, given: Partial<LiveRow> = {}): LiveRow {
  return {
    envelope,
    message: envelope.slice(0, 11),
    state: "queued",
    live: "waiting",
    sender: "jane@a.example",
    recipient: "joe@b.example",
    action: "relay",
    sizeBytes: 1000,
    receivedAt: ARRIVED,
    dueAt: ARRIVED,
    expiresAt: ARRIVED + 1,
    attempts: 1,
    ...given,
  };
}

async function listed(...portions: readonly (readonly LiveRow[])[]): Promise<{ code: number; out: string }> {
  let out = "";
  const client = {
    async *portions() {
      for (const portion of portions) yield await Promise.resolve(portion);
    },
    [Symbol.dispose]: () => {},
  } as unknown as ControlClient;
  // What the command needs of a world, and nothing else.
  const world = {
    stdout: { isTerminal: false, write: (text: string) => void (out += text), room: () => Promise.resolve() },
    offsetMinutes: () => 60,
    locate: () => Promise.resolve({ controlPaths: { query: "query", change: "change" } }),
    connectControl: () => Promise.resolve(client),
  } as unknown as World;
  const code = await mailq.run(parseGiven(mailq, []), world);
  return { code, out };
}

test("messages stand with their recipients below them, in Postfix's columns, and are summed up", async () => {
  const { code, out } = await listed(
    [
      row("01ARZ3NDEKT.1", { live: "active" }),
      row("01ARZ3NDEKT.2", { recipient: "ann@c.example", lastFailure: refusal }),
    ],
    // A portion may end in the middle of a message.
    [
      row("01ARZ3NDEKT.3", { recipient: "bob@c.example", lastFailure: refusal }),
      row("01ARZ3NDEKV.1", { sender: "", sizeBytes: 12_345_678, state: "held", heldBecause: "looks wrong" }),
    ],
  );
  assert.equal(code, 0);
  assert.equal(
    out,
    `-Queue ID--- --Size-- ---Arrival Time---- --Sender/Recipient------
01ARZ3NDEKT*     1000 Sun Nov  1 14:28:09 jane@a.example
                                          joe@b.example
                                      (connect to the next host: ECONNREFUSED)
                                          ann@c.example
                                          bob@c.example

01ARZ3NDEKV! 12345678 Sun Nov  1 14:28:09 MAILER-DAEMON
                                                                 (looks wrong)
                                          joe@b.example

-- 12058 Kbytes in 2 Requests.
`,
  );
});

test("one message is one request, and an empty queue is said to be empty", async () => {
  assert.match((await listed([row("01ARZ3NDEKT.1")])).out, /^01ARZ3NDEKT  [\s\S]*\n\n-- 1 Kbytes in 1 Request\.\n$/m);
  assert.deepEqual(await listed(), { code: 0, out: "Mail queue is empty\n" });
});

test("what strangers wrote does nothing to the terminal", async () => {
  const { out } = await listed([row("01ARZ3NDEKT.1", { sender: "a\u001b[2J@b", recipient: "c\u0007@d" })]);
  assert.match(out, /a\\x1b\[2J@b/);
  assert.match(out, /c\\x07@d/);
});
