import assert from "node:assert/strict";
import { test } from "node:test";
import { messageIdOf } from "../../foundation/ids.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { memoryStore } from "./memory-store.ts";
import { queuePort } from "./queue-port.ts";
import type { CommitRequest } from "./queue.ts";
import { commitOf, rejectsWith } from "./store.suite.ts";

function requestOf(n: number, notBeforeAt?: number): CommitRequest {
  const { message, body, envelopes } = commitOf(n, { envelopes: [{ notBeforeAt }] });
  return { message, body, envelopes: envelopes.map(({ envelope }) => envelope) };
}

test("a commit is durable before the scheduler hears of it, and before the client does", async () => {
  await using store = memoryStore();
  const heard: [string, number][] = [];
  const port = queuePort(store, {
    clock: virtualClock(5000),
    expireAfterMs: () => 100,
    quarantineMs: () => 1000,
    onCommitted: ({ message }, envelopes) => {
      assert.equal(store.counters().messages, 1);
      heard.push([message.id, envelopes.length]);
    },
  });
  await port.commit(requestOf(1));
  assert.deepEqual(heard, [[messageIdOf(1), 1]]);
});

test("an envelope is due at once, or when FUTURERELEASE says, and expires so long after that", async () => {
  await using store = memoryStore();
  const port = queuePort(store, {
    clock: virtualClock(5000),
    expireAfterMs: () => 100,
    quarantineMs: () => 1000,
    onCommitted: () => {},
  });
  await port.commit(requestOf(1));
  await port.commit(requestOf(2, 7000));
  await port.commit(requestOf(3, 3000));
  assert.deepEqual(
    (await store.list({})).map((row) => [row.dueAt, row.expiresAt, row.state, row.attempts]),
    [
      [5000, 5100, "queued", 0],
      [7000, 7100, "queued", 0],
      [5000, 5100, "queued", 0],
    ],
  );
});

test("what was refused is not told to the scheduler", async () => {
  await using store = memoryStore();
  let heard = 0;
  const port = queuePort(store, {
    clock: virtualClock(0),
    expireAfterMs: () => 1,
    quarantineMs: () => 1000,
    onCommitted: () => void heard++,
  });
  await port.commit(requestOf(1));
  await rejectsWith("SPOOL_REFUSED", port.commit(requestOf(1)));
  assert.equal(heard, 1);
});

test("what a filter put into quarantine is held from the beginning, for its time and with its reason", async () => {
  await using store = memoryStore();
  const port = queuePort(store, {
    clock: virtualClock(5000),
    expireAfterMs: () => 100,
    quarantineMs: () => 1000,
    onCommitted: () => {},
  });
  await port.commit({ ...requestOf(1), quarantine: { filter: "clamav", because: "Eicar" } });
  const [row] = await store.list({});
  assert.equal(row?.state, "held");
  assert.equal(row.heldUntilAt, 6000);
  assert.equal(row.heldBecause, "in quarantine by the filter clamav: Eicar");
  assert.deepEqual(row.quarantine, { filter: "clamav", because: "Eicar" });
});
