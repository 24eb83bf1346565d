import assert from "node:assert/strict";
import { test } from "node:test";
import type { QueueFilter } from "../../mail/queue/store.ts";
import type { ShownMessage } from "../../mail/scheduler/admin/admin.ts";
import type { Admin } from "./admin.ts";
import { findOperation } from "./operations.ts";
import { OWN_QUESTIONS, ownView } from "./own-view.ts";
import { findStream } from "./streams.ts";

const OWN = "01ARZ3NDEKT";
const OTHERS = "01ARZ3NDEKV";
const jane = { listener: "local", account: "jane" };

function shownOf(id: string): ShownMessage {
  return {
    message: {
      id,
      sender: "jane@a.example",
      receivedAt: 0,
      sizeBytes: 1,
      content: "7bit",
      isInternational: false,
      origin: { ...jane, protocol: "ESMTPA", session: "s" },
      bodyKind: "inline",
    },
    envelopes: [
      {
        envelope: {
          id: `${id}.1`,
          message: id,
          recipient: "team@a.example",
          notify: [],
          action: "deliver",
          target: { kind: "command", command: "/home/joe/bin/secret", user: "joe" },
          via: ["team@a.example"],
        },
        progress: { state: "queued", dueAt: 0, expiresAt: 1, attempts: 0 },
        attempts: [],
      },
    ],
  };
}

function view() {
  const filters: QueueFilter[] = [];
  const opened: string[] = [];
  let turns = 0;
  const queue: Pick<Admin["queue"], "list" | "show" | "why" | "whyAll"> = {
    list: (filter) => {
      filters.push(filter);
      return Promise.resolve({ count: filter.message === OTHERS ? 0 : 1, rows: "[]" });
    },
    show: (id) => {
      opened.push(id);
      return Promise.resolve(shownOf(id.split(".")[0] ?? id));
    },
    why: (id) => {
      opened.push(id);
      return Promise.resolve([]);
    },
    whyAll: (id) => {
      opened.push(id);
      return Promise.resolve({ message: id, groups: [], isCut: false });
    },
  };
  // What else there is of a server must not be asked for: it would throw.
  const own = ownView({ queue } as unknown as Admin, jane, (ask) => {
    turns++;
    return ask();
  });
  return { own, filters, opened, turns: () => turns };
}

test("a list holds what the user handed in at that listener, whatever else is asked for", async () => {
  const { own, filters } = view();
  await own.queue.list({ sender: "bob@a.example", limit: 3 });
  assert.deepEqual(filters, [{ sender: "bob@a.example", limit: 3, origin: jane }]);
});

test("a message of one's own is shown, without the commands and files of those it goes to", async () => {
  const { own, filters } = view();
  const shown = await own.queue.show(`${OWN}.1`);
  assert.deepEqual(filters, [{ message: OWN, origin: jane, limit: 1 }]);
  assert.equal(shown?.message.id, OWN);
  assert.doesNotMatch(JSON.stringify(shown), /secret|via/);
  assert.deepEqual(await own.queue.why(`${OWN}.1`), []);
  assert.equal((await own.queue.whyAll(OWN))?.message, OWN);
});

test("a message of somebody else is answered like one that is not there, and is not opened", async () => {
  const { own, opened } = view();
  for (const id of [OTHERS, `${OTHERS}.1`]) {
    assert.equal(await own.queue.show(id), undefined);
    assert.equal(await own.queue.why(id), undefined);
    assert.equal(await own.queue.whyAll(id), undefined);
  }
  assert.deepEqual(opened, []);
});

test("each question waits for its turn", async () => {
  const { own, turns } = view();
  await own.queue.list({});
  await own.queue.show(OWN);
  await own.queue.why(`${OWN}.1`);
  await own.queue.whyAll(OWN);
  assert.equal(turns(), 4);
});

test("what may be asked exists, changes nothing, and needs nothing of the server but the view", async () => {
  const args: Readonly<Record<string, unknown>> = { "queue.list": {}, "queue.why": { id: `${OWN}.1` } };
  for (const name of OWN_QUESTIONS) {
    const { own } = view();
    const operation = findOperation(name);
    const stream = findStream(name);
    assert.equal((operation ?? stream)?.kind, "query", name);
    await operation?.perform(own, args[name] ?? { id: OWN });
    await stream?.perform(own, args[name], {
      send: () => Promise.resolve(),
      offer: () => {},
      soon: (made) => made,
      backlog: () => 0,
      after: () => ({ cancel: () => {} }),
      signal: new AbortController().signal,
    });
  }
});
