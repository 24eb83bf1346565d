import assert from "node:assert/strict";
import { test } from "node:test";
import { envelopeIdOf, messageIdMaker } from "../../../foundation/ids.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import type { CommitRequest } from "../../queue/queue.ts";
import { Contents } from "./contents.ts";

const KIB = 1024;

function world(mostBytes?: number) {
  const clock = virtualClock(Date.UTC(2026, 0, 1));
  const newId = messageIdMaker(clock, 0);
  const asked: string[] = [];
  const store = {
    message: async (id: string) => void asked.push(id),
    body: async () => undefined,
    envelopes: async () => [],
  };
  const contents = new Contents(store, clock, mostBytes);
  const commit = (bytes: Uint8Array): string => {
    const id = newId();
    const request: CommitRequest = {
      message: {
        id,
        sender: "sender@example.org",
        receivedAt: clock.now(),
        sizeBytes: bytes.length,
        content: "7bit",
        isInternational: false,
        origin: { listener: "smtp", protocol: "ESMTP", session: "s1" },
      },
      body: { kind: "inline", bytes },
      envelopes: [
        { id: envelopeIdOf(id, 1), message: id, recipient: "recipient@example.net", notify: [], action: "relay" },
      ],
    };
    contents.remember(request);
    return id;
  };
  const read = (id: string) => contents.read(id, [envelopeIdOf(id, 1)]);
  return { clock, asked, contents, commit, read };
}

test("what was committed a moment ago is not read back", async () => {
  const { commit, read, asked } = world();
  const found = await read(commit(new Uint8Array(KIB).fill(65)));
  assert.deepEqual(found?.body, { kind: "inline", bytes: new Uint8Array(KIB).fill(65) });
  assert.equal(found?.envelopes.length, 1);
  assert.deepEqual(asked, []);
});

test("when there is no room for more, what came first is what is still known", async () => {
  const { contents, commit, read, asked } = world(10 * KIB);
  const ids = Array.from({ length: 20 }, () => commit(new Uint8Array(KIB)));
  await read(ids[0] ?? "");
  assert.deepEqual(asked, []);
  await read(ids[19] ?? "");
  assert.deepEqual(asked, [ids[19]]);
  contents.forget(ids[0] ?? "");
  const late = commit(new Uint8Array(KIB));
  await read(late);
  assert.deepEqual(asked, [ids[19]]);
});

test("mail that waits makes room for mail that comes", async () => {
  const { clock, commit, read, asked } = world(10 * KIB);
  const ids = Array.from({ length: 20 }, () => commit(new Uint8Array(KIB)));
  await clock.advance(10_000);
  const late = commit(new Uint8Array(KIB));
  await read(late);
  assert.deepEqual(asked, []);
  await read(ids[0] ?? "");
  assert.deepEqual(asked, [ids[0]]);
});

test("a small content does not keep the large block alive that it came in", async () => {
  const { commit, read } = world();
  const block = new Uint8Array(1024 * KIB);
  const found = await read(commit(block.subarray(100, 100 + KIB)));
  assert.ok(found?.body?.kind === "inline");
  assert.equal(found.body.bytes.buffer.byteLength, KIB);
});
