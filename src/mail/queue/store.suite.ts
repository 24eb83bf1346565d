import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { PosthornError } from "../../foundation/error.ts";
import { envelopeIdOf, messageIdOf, type MessageId } from "../../foundation/ids.ts";
import type { EnvelopeProgress } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import { PAGE_ROWS, pagesOf, rowsOf } from "./pages.ts";
import type {
  AttemptRecord,
  Body,
  LoadedEnvelope,
  NewEnvelope,
  Operation,
  QueueFilter,
  QueueRow,
  Store,
} from "./store.ts";

/** What a store under test is made of. `bodyFile` puts content where the store expects bodies of kind `file`. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  bodyFile(message: MessageId, bytes: Uint8Array): Promise<Body>;
}

/** The suite that every store passes. Call it once, with a function that makes an empty store. */
export function storeSuite(kind: string, make: () => Promise<StoreUnderTest>): void {
  const check = (sentence: string, body: (store: Store, under: StoreUnderTest) => Promise<void>): void => {
    test(`${kind}: ${sentence}`, async () => {
      await using under = await make();
      await body(under.store, under);
    });
  };

  check("what was committed is there, every field of it, body included", async (store) => {
    const commit = commitOf(1, {
      message: {
        sender: "joe@example.org",
        content: "8bit",
        isInternational: true,
        messageIdField: "<a@b>",
        dsnReturn: "HDRS",
        dsnEnvelopeId: "QQ314159",
        deliverBy: { at: 5000, mode: "notify", trace: true },
      },
      envelopes: [
        {
          recipient: "jane@example.net",
          givenRecipient: "alias@example.org",
          originalRecipient: "rfc822;alias@example.org",
          notify: ["SUCCESS", "DELAY"],
          notBeforeAt: 77,
        },
        { recipient: "Ünal@münchen.example" },
        {
          recipient: "list@example.org",
          sender: "",
          target: { kind: "command", command: "/usr/bin/filter -x 'a b'", user: "list" },
          via: ["a@example.org", "list@example.org"],
          isListMember: true,
        },
      ],
    });
    await store.apply([commit]);
    const { numbered, ...facts } = (await store.message(commit.message.id)) ?? {};
    assert.deepEqual(plain(facts), { ...commit.message, bodyKind: "inline" });
    assert.equal(numbered, 3);
    assert.deepEqual(plain(await store.envelopes(idsOf(commit))), plain(commit.envelopes));
    assert.deepEqual(await contentOf(store, commit.message.id), "content of 1");
  });

  check("notes are kept by key, replaced, found by how the key begins, and go without a text", async (store) => {
    const keep = (key: string, text?: string): Operation => ({ do: "note", key, text });
    await store.apply([keep("hold b", "1"), keep("hold a", "2"), keep("holder", "3"), keep("hold ü\u{1f600}", "4")]);
    assert.deepEqual(plain(await store.notes("hold ")), [
      { key: "hold a", text: "2" },
      { key: "hold b", text: "1" },
      { key: "hold ü\u{1f600}", text: "4" },
    ]);
    await store.apply([keep("hold a", "new"), keep("hold b"), keep("never there")]);
    assert.deepEqual(plain(await store.notes("hold a")), [{ key: "hold a", text: "new" }]);
    assert.deepEqual((await store.notes("")).length, 3);
    await rejectsWith("SPOOL_REFUSED", store.apply([keep("", "x")]));
    assert.equal(store.counters().messages, 0);
  });

  check(
    "a load tells tenant, priority and the time before which nothing is sent, where there are any",
    async (store) => {
      const with_ = commitOf(1, { message: { tenant: "acme", priority: -3 }, envelopes: [{ notBeforeAt: 77_000 }] });
      await store.apply([with_, commitOf(2)]);
      const loaded: LoadedEnvelope[] = [];
      for await (const portion of store.load()) loaded.push(...portion);
      assert.deepEqual(
        loaded.map(({ tenant, priority, notBeforeAt }) => [tenant, priority, notBeforeAt]),
        [
          ["acme", -3, 77_000],
          [undefined, undefined, undefined],
        ],
      );
    },
  );

  check("an empty body is a body", async (store) => {
    const commit = { ...commitOf(1), body: { kind: "inline", bytes: new Uint8Array(0) } as const };
    await store.apply([commit]);
    assert.equal(await contentOf(store, commit.message.id), "");
  });

  check("a body file is named, with its size", async (store, under) => {
    const commit = commitOf(1);
    const body = await under.bodyFile(commit.message.id, Buffer.from("in a file"));
    await store.apply([{ ...commit, body }]);
    assert.deepEqual(await store.body(commit.message.id), body);
    assert.equal((await store.message(commit.message.id))?.bodyKind, "file");
  });

  check("what is not there is told as such", async (store) => {
    const id = messageIdOf(7);
    assert.equal(await store.message(id), undefined);
    assert.equal(await store.body(id), undefined);
    assert.deepEqual(await store.envelopes([envelopeIdOf(id, 1), "nonsense"]), []);
    assert.deepEqual(await store.attempts(envelopeIdOf(id, 1)), []);
    assert.deepEqual(await store.list({}), []);
    assert.deepEqual(await store.census(0), []);
    assert.deepEqual(await loaded(store), []);
  });

  check("a message id that is taken is refused, and the first message stays as it was", async (store) => {
    await store.apply([commitOf(1, { message: { sender: "first@example.org" } })]);
    await rejectsWith("SPOOL_REFUSED", store.apply([commitOf(1, { message: { sender: "second@example.org" } })]));
    assert.equal((await store.message(messageIdOf(1)))?.sender, "first@example.org");
    assert.equal(store.counters().messages, 1);
  });

  check("a refused batch leaves nothing, and those that waited with it are done", async (store) => {
    await store.apply([commitOf(1)]);
    const results = await Promise.allSettled([
      store.apply([commitOf(2)]),
      store.apply([commitOf(3), commitOf(1)]),
      store.apply([commitOf(4)]),
    ]);
    assert.deepEqual(
      results.map((result) => result.status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    assert.deepEqual(await messagesIn(store), [1, 2, 4]);
    assert.deepEqual(await Promise.all([2, 3, 4].map(async (id) => contentOf(store, messageIdOf(id)))), [
      "content of 2",
      undefined,
      "content of 4",
    ]);
  });

  check("envelopes that do not belong to their message, come twice or are none at all are refused", async (store) => {
    const { envelopes, ...commit } = commitOf(1);
    await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commit, envelopes: commitOf(2).envelopes }]));
    await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commit, envelopes: [...envelopes, ...envelopes] }]));
    await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commit, envelopes: [] }]));
    await rejectsWith("SPOOL_REFUSED", store.apply([{ do: "remove", envelope: "nonsense" }]));
    assert.deepEqual(await messagesIn(store), []);
  });

  check("an update replaces the progress, and what it does not name is unset", async (store) => {
    const commit = commitOf(1);
    await store.apply([commit]);
    const [id = ""] = idsOf(commit);
    const held: EnvelopeProgress = {
      state: "held",
      dueAt: 10,
      expiresAt: 20,
      attempts: 3,
      warnedAt: 5,
      heldUntilAt: 15,
      heldBecause: "the operator",
      quarantine: { filter: "scanner", because: "a virus" },
      isScheduled: true,
      lastFailure: failure,
    };
    await store.apply([{ do: "update", envelope: id, progress: held }]);
    assert.deepEqual(plain((await store.envelopes([id]))[0]?.progress), held);
    const { lastFailure: _, ...loadedProgress } = held;
    assert.deepEqual(plain((await loaded(store))[0]?.progress), loadedProgress);
    const queued: EnvelopeProgress = { state: "queued", dueAt: 30, expiresAt: 40, attempts: 4 };
    await store.apply([{ do: "update", envelope: id, progress: queued }]);
    assert.deepEqual(plain((await store.envelopes([id]))[0]?.progress), queued);
    // A load says of whom nothing but its hosts' absence is known, and whom settings kept.
    const refused: Failure = { ...failure, cause: { kind: "reply", during: "RCPT" } };
    const misconfigured: Failure = { ...failure, cause: { kind: "settings", text: "there is no such action" } };
    for (const [lastFailure, state, attempts, wasAway, wasMisconfigured] of [
      [failure, "queued", 4, true, undefined],
      [failure, "queued", 0, undefined, undefined],
      [failure, "held", 4, undefined, undefined],
      [refused, "queued", 4, undefined, undefined],
      [misconfigured, "queued", 0, undefined, true],
      [misconfigured, "held", 0, undefined, undefined],
    ] as const) {
      await store.apply([{ do: "update", envelope: id, progress: { ...queued, state, attempts, lastFailure } }]);
      const [one] = await loaded(store);
      assert.deepEqual([one?.wasAway, one?.wasMisconfigured], [wasAway, wasMisconfigured]);
      assert.equal(one?.awayHost, wasAway === true ? lastFailure.host : undefined);
    }
  });

  check("attempts are kept, oldest first, and only the newest hundred", async (store) => {
    const commit = commitOf(1);
    await store.apply([commit]);
    const [id = ""] = idsOf(commit);
    const record = (n: number): AttemptRecord => ({
      startedAt: n,
      tookMs: 7,
      outcome: "deferred",
      relay: "mx.example[192.0.2.1]:25",
      failure,
      replyText: "451 come again",
    });
    await store.apply([{ do: "update", envelope: id, progress: progress(), attempt: record(0) }]);
    assert.deepEqual(plain(await store.attempts(id)), [record(0)]);
    for (let n = 1; n < 105; n++)
      await store.apply([{ do: "update", envelope: id, progress: progress(), attempt: record(n) }]);
    const kept = await store.attempts(id);
    assert.deepEqual([kept.length, kept[0]?.startedAt, kept.at(-1)?.startedAt], [100, 5, 104]);
    // A load says to which host the last one came; held, say, there is no failure to tell it.
    await store.apply([{ do: "update", envelope: id, progress: { ...progress(), attempts: 106 }, attempt: attempt() }]);
    assert.equal((await loaded(store))[0]?.lastHost, "mx.example[192.0.2.1]:25");
  });

  check("message and body go with the last envelope, not before", async (store) => {
    const commit = commitOf(1, { envelopes: [{}, {}] });
    await store.apply([commit]);
    const [first = "", second = ""] = idsOf(commit);
    await store.apply([{ do: "remove", envelope: first }]);
    assert.equal(await contentOf(store, commit.message.id), "content of 1");
    await store.apply([{ do: "update", envelope: second, progress: progress(), attempt: attempt() }]);
    await store.apply([{ do: "remove", envelope: second }]);
    assert.equal(await store.message(commit.message.id), undefined);
    assert.equal(await store.body(commit.message.id), undefined);
    assert.deepEqual(await store.attempts(second), []);
    assert.deepEqual([store.counters().messages, store.counters().envelopes], [0, 0]);
  });

  check("updating or removing what is gone changes nothing", async (store) => {
    const commit = commitOf(1, { envelopes: [{}, {}] });
    await store.apply([commit]);
    const [first = ""] = idsOf(commit);
    await store.apply([{ do: "remove", envelope: first }]);
    await store.apply([{ do: "remove", envelope: first }]);
    await store.apply([{ do: "update", envelope: first, progress: progress(), attempt: attempt() }]);
    assert.deepEqual(await store.attempts(first), []);
    assert.deepEqual([store.counters().messages, store.counters().envelopes], [1, 1]);
  });

  check("envelopes that are added to a message stand beside those it has, and share its content", async (store) => {
    const commit = commitOf(1, { message: { sender: "joe@example.org" } });
    await store.apply([commit]);
    const more = commitOf(1, {
      envelopes: [{}, { recipient: "b@example.net", sender: "owner-b@example.net" }, { recipient: "c@example.net" }],
    });
    const added = more.envelopes.slice(1);
    const [first = ""] = idsOf(commit);
    await store.apply([
      { do: "add", message: commit.message.id, envelopes: added },
      { do: "remove", envelope: first },
    ]);
    assert.deepEqual(plain(await store.envelopes(idsOf(more))), plain(added));
    assert.equal(await contentOf(store, commit.message.id), "content of 1");
    assert.equal((await store.message(commit.message.id))?.numbered, 3);
    assert.deepEqual(
      (await loaded(store)).map(({ sender }) => sender),
      ["owner-b@example.net", "joe@example.org"],
    );
    assert.deepEqual(
      (await loaded(store)).map(({ messageSender }) => messageSender),
      ["joe@example.org", undefined],
    );
    // Of whom the message is, it is also by its envelopes that go as somebody else.
    assert.deepEqual(
      (await store.list({ sender: "Joe@example.org" })).map(({ recipient }) => recipient),
      (await store.list({})).map(({ recipient }) => recipient),
    );
    assert.deepEqual(
      (await store.list({ sender: "OWNER-b@example.net" })).map(({ sender, recipient }) => [sender, recipient]),
      [["owner-b@example.net", "b@example.net"]],
    );
    assert.deepEqual([store.counters().messages, store.counters().envelopes], [1, 2]);
  });

  check("no number of an envelope is given twice, and a message that is gone gets no more of them", async (store) => {
    const commit = commitOf(1, { envelopes: [{}, {}] });
    await store.apply([commit]);
    const [first = "", second = ""] = idsOf(commit);
    await store.apply([{ do: "remove", envelope: second }]);
    const add = (n: number): Operation => {
      const { envelopes } = commitOf(1, { envelopes: Array.from({ length: n }, () => ({})) });
      return { do: "add", message: commit.message.id, envelopes: envelopes.slice(n - 1) };
    };
    await rejectsWith("SPOOL_REFUSED", store.apply([add(2)]));
    await rejectsWith("SPOOL_REFUSED", store.apply([{ do: "remove", envelope: first }, add(3)]));
    await rejectsWith(
      "SPOOL_REFUSED",
      store.apply([{ do: "add", message: messageIdOf(2), envelopes: commitOf(2).envelopes }]),
    );
    await store.apply([add(3), { do: "remove", envelope: first }]);
    assert.deepEqual(
      (await loaded(store)).map(({ id }) => id),
      [envelopeIdOf(commit.message.id, 3)],
    );
  });

  check("a bounce replaces its envelope in one step: neither both nor none", async (store) => {
    const failed = commitOf(1);
    await store.apply([failed]);
    const [envelope = ""] = idsOf(failed);
    // The bounce's own id is taken: nothing may happen, the removal included.
    await rejectsWith("SPOOL_REFUSED", store.apply([{ do: "remove", envelope }, commitOf(2), commitOf(2)]));
    assert.deepEqual(await messagesIn(store), [1]);
    await store.apply([{ do: "remove", envelope }, commitOf(2)]);
    assert.deepEqual(await messagesIn(store), [2]);
  });

  check("batches take effect in the order in which they were handed over", async (store) => {
    const commit = commitOf(1);
    const [envelope = ""] = idsOf(commit);
    await Promise.all([
      store.apply([commit]),
      ...[5, 6, 7].map((attempts) => store.apply([{ do: "update", envelope, progress: { ...progress(), attempts } }])),
    ]);
    assert.equal((await store.envelopes([envelope]))[0]?.progress.attempts, 7);
  });

  check("loading gives every envelope once, those of a message together, older messages first", async (store) => {
    await store.apply(
      Array.from({ length: 1500 }, (_, n) => commitOf(1500 - n, { envelopes: n % 100 === 0 ? [{}, {}, {}] : [{}] })),
    );
    const all = await loaded(store);
    assert.equal(all.length, 1530);
    assert.equal(new Set(all.map(({ id }) => id)).size, 1530);
    assert.deepEqual(
      all.map(({ id }) => id),
      all.map(({ id }) => id).sort((a, b) => (a < b ? -1 : 1)),
    );
  });

  check("loading says what the scheduler needs to know", async (store) => {
    await store.apply([
      commitOf(1, {
        message: { sender: "joe@example.org", deliverBy: { at: 99, mode: "return", trace: false } },
        envelopes: [
          { recipient: "a@example.net", givenRecipient: "list@example.net" },
          { notify: ["FAILURE"] },
          { notify: ["DELAY"] },
        ],
      }),
      commitOf(2, { message: { sender: "" } }),
    ]);
    const all = await loaded(store);
    assert.deepEqual(plain(all[0]), {
      id: envelopeIdOf(messageIdOf(1), 1),
      message: messageIdOf(1),
      recipient: "a@example.net",
      sender: "joe@example.org",
      action: "relay",
      sizeBytes: 12,
      receivedAt: 1000,
      progress: progress(),
      givenRecipient: "list@example.net",
      deliverByAt: 99,
      deliverByMode: "return",
      wantsDelayNotice: true,
    });
    assert.deepEqual(
      all.map((envelope) => envelope.wantsDelayNotice),
      [true, false, true, false],
    );
  });

  check("lists can be filtered by all that people ask for", async (store) => {
    await store.apply([
      commitOf(1, {
        message: { sender: "joe@example.org", receivedAt: 100 },
        envelopes: [{ recipient: "a@Example.NET" }, { recipient: "b@other.example" }],
      }),
      commitOf(2, { message: { sender: "", receivedAt: 200 }, envelopes: [{ recipient: "c@example.net" }] }),
      commitOf(3, { message: { sender: "Jane@example.org", receivedAt: 300, origin: handedIn("local", "jane") } }),
      commitOf(4, { message: { receivedAt: 200, origin: handedIn("submission", "jane") } }),
      commitOf(5, { message: { receivedAt: 200, origin: handedIn("local", "Jane") } }),
    ]);
    const id = (message: number, n: number): string => envelopeIdOf(messageIdOf(message), n);
    await store.apply([
      {
        do: "update",
        envelope: id(1, 1),
        progress: {
          ...progress(),
          state: "held",
          heldBecause: "a whim",
          heldUntilAt: 7,
          quarantine: { filter: "scanner" },
        },
      },
      { do: "update", envelope: id(1, 2), progress: { ...progress(), attempts: 2, lastFailure: failure } },
    ]);
    const expectRows = async (filter: QueueFilter, ...ids: string[]): Promise<void> =>
      assert.deepEqual(
        (await store.list(filter)).map((row) => row.envelope),
        ids,
        JSON.stringify(filter),
      );
    await expectRows({}, id(1, 1), id(1, 2), id(2, 1), id(3, 1), id(4, 1), id(5, 1));
    await expectRows({ limit: 2 }, id(1, 1), id(1, 2));
    await expectRows({ limit: 0 });
    await expectRows({ state: "held" }, id(1, 1));
    await expectRows({ state: "queued" }, id(2, 1), id(3, 1), id(4, 1), id(5, 1));
    await expectRows({ state: "deferred" }, id(1, 2));
    await expectRows({ sender: "" }, id(2, 1));
    await expectRows({ sender: "jane@EXAMPLE.org" }, id(3, 1));
    await expectRows({ recipient: "a@example.net" }, id(1, 1));
    await expectRows({ domain: "EXAMPLE.net" }, id(1, 1), id(2, 1));
    await expectRows({ domain: "example.net", state: "held" }, id(1, 1));
    await expectRows({ message: messageIdOf(1) }, id(1, 1), id(1, 2));
    await expectRows({ message: "nonsense" });
    await expectRows({ envelope: id(1, 2) }, id(1, 2));
    await expectRows({ envelope: id(1, 2), message: messageIdOf(2) });
    await expectRows({ receivedBeforeAt: 200 }, id(1, 1), id(1, 2));
    await expectRows({ receivedAfterAt: 200 }, id(3, 1));
    await expectRows({ origin: { listener: "local", account: "jane" } }, id(3, 1));
    await expectRows({ origin: { listener: "submission", account: "jane" } }, id(4, 1));
    await expectRows({ origin: { listener: "local", account: "jane" }, message: messageIdOf(4) });
    await expectRows({ origin: { listener: "smtp", account: "" } });
    await expectRows({ origin: { listener: "local", account: "jane' OR 1=1 --" } });
    assert.deepEqual(plain((await store.list({ envelope: id(1, 2) }))[0]), {
      envelope: id(1, 2),
      message: messageIdOf(1),
      state: "queued",
      sender: "joe@example.org",
      recipient: "b@other.example",
      action: "relay",
      sizeBytes: 12,
      receivedAt: 100,
      dueAt: 1000,
      expiresAt: 9000,
      attempts: 2,
      lastFailure: failure,
    });
    const [held] = await store.list({ state: "held" });
    assert.deepEqual([held?.heldBecause, held?.heldUntilAt], ["a whim", 7]);
    assert.deepEqual(plain(held?.quarantine), { filter: "scanner" });
  });

  check("a long list comes in pages of a bounded size that together are the list, under any filter", async (store) => {
    const many = (count: number, domain: string) =>
      Array.from({ length: count }, (_, n) => ({ recipient: `u${n}@${domain}` }));
    await store.apply([
      commitOf(1, { envelopes: many(3, "a.example") }),
      commitOf(2, { envelopes: many(2 * PAGE_ROWS + 1, "b.example") }),
      commitOf(3, { envelopes: many(2, "a.example") }),
    ]);
    // More messages without anything that passes than a page looks at.
    for (let from = 4; from < 2 * PAGE_ROWS; from += 500)
      await store.apply(Array.from({ length: 500 }, (_, n) => commitOf(from + n)));
    const end = 5000;
    await store.apply([commitOf(end, { envelopes: many(1, "a.example") })]);
    const message = messageIdOf(2);
    for (const filter of [
      {},
      { domain: "a.example" },
      { domain: "b.example" },
      { message },
      { limit: PAGE_ROWS + 7 },
    ]) {
      const rows: QueueRow[] = [];
      for await (const page of pagesOf((next, behind) => store.page(next, behind), filter)) {
        assert.ok(page.count <= PAGE_ROWS);
        const found = rowsOf(page);
        assert.deepEqual([page.count, page.envelopes], [found.length, found.map((row) => row.envelope)]);
        rows.push(...found);
      }
      assert.deepEqual(rows, plain(await store.list(filter)), JSON.stringify(filter));
    }
    assert.equal((await store.list({ domain: "a.example" })).at(-1)?.envelope, envelopeIdOf(messageIdOf(end), 1));
    assert.equal((await store.list({ message })).length, 2 * PAGE_ROWS + 1);
  });

  check(
    "what is there all the time is in one page exactly, though others come and go between two pages",
    async (store) => {
      for (let from = 1; from < 3 * PAGE_ROWS; from += 500)
        await store.apply(Array.from({ length: 500 }, (_, n) => commitOf(10 * (from + n))));
      const first = await store.page({});
      const last = first.envelopes.at(-1) ?? "";
      const stays = (await store.list({})).map((row) => row.envelope).filter((id) => id !== last);
      // The very envelope that the page ended with goes, and one comes before it and one behind.
      await store.apply([{ do: "remove", envelope: last }, commitOf(11), commitOf(10 * PAGE_ROWS + 1)]);
      const rest: string[] = [];
      for (let at = first.next; at !== undefined;) {
        const page = await store.page({}, at);
        rest.push(...page.envelopes);
        at = page.next;
      }
      const found = [...first.envelopes, ...rest].filter((id) => id !== last);
      assert.deepEqual(
        found.filter((id) => stays.includes(id)),
        stays,
      );
      assert.ok(found.includes(envelopeIdOf(messageIdOf(10 * PAGE_ROWS + 1), 1)));
    },
  );

  check(
    "in one batch a removal makes room for a message of the same id, and a half removal does not",
    async (store) => {
      const again = { ...commitOf(1), body: { kind: "inline", bytes: Buffer.from("anew") } } as const;
      const two = commitOf(2, { envelopes: [{}, {}] });
      const first = envelopeIdOf(messageIdOf(2), 1);
      await store.apply([commitOf(1), two]);
      await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }, again]);
      assert.equal(await contentOf(store, messageIdOf(1)), "anew");
      await rejectsWith("SPOOL_REFUSED", store.apply([{ do: "remove", envelope: first }, two]));
      assert.equal((await store.envelopes([first])).length, 1);
    },
  );

  check("the census counts envelopes by domain and age, the fullest domain first", async (store) => {
    const minute = 60_000;
    const now = 2000 * minute;
    await store.apply([
      commitOf(1, { message: { receivedAt: now - 5 * minute }, envelopes: [{ recipient: "a@x.example" }] }),
      commitOf(2, {
        message: { receivedAt: now - 5 * minute - 1 },
        envelopes: [{ recipient: "a@X.example" }, { recipient: "b@y.example" }],
      }),
      commitOf(3, { message: { receivedAt: now - 1281 * minute }, envelopes: [{ recipient: "c@x.example" }] }),
    ]);
    assert.deepEqual(plain(await store.census(now)), [
      { domain: "x.example", total: 3, byAge: [1, 1, 0, 0, 0, 0, 0, 0, 0, 1] },
      { domain: "y.example", total: 1, byAge: [0, 1, 0, 0, 0, 0, 0, 0, 0, 0] },
    ]);
  });

  check("a closed store says so, to every call", async (store) => {
    await store.apply([commitOf(1)]);
    const last = store.apply([commitOf(2)]);
    await store[Symbol.asyncDispose]();
    await last;
    await rejectsWith("STORE_CLOSED", store.apply([commitOf(3)]));
    await rejectsWith("STORE_CLOSED", store.message(messageIdOf(1)));
    await rejectsWith("STORE_CLOSED", loaded(store));
  });

  check("any run of batches leaves what the batches say", async () => {
    // Each run of this property has a store of its own.
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyStep, { minLength: 1, maxLength: 4 }), { maxLength: 30 }),
        async (batches) => {
          await using under = await make();
          let model = new Map<string, number>();
          await Promise.all(
            batches.map(async (steps) => {
              const next = modelApply(model, steps);
              if (next !== undefined) model = next;
              const outcome = under.store.apply(steps.flatMap(operationsOf));
              if (next === undefined) await rejectsWith("SPOOL_REFUSED", outcome);
              else await outcome;
            }),
          );
          const rows = await under.store.list({});
          assert.deepEqual(new Map(rows.map((row) => [row.envelope, row.attempts])), model);
          const messages = new Set(rows.map((row) => row.message));
          assert.deepEqual(
            [under.store.counters().messages, under.store.counters().envelopes],
            [messages.size, rows.length],
          );
          for (const id of messages) assert.notEqual(await under.store.body(id), undefined);
        },
      ),
      { numRuns: 10 },
    );
  });
}

type Step =
  | { do: "commit"; message: number; count: number }
  | { do: "update" | "remove"; message: number; n: number; attempts: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("commit" as const),
    message: fc.integer({ min: 1, max: 8 }),
    count: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({
    do: fc.constantFrom("update" as const, "remove" as const),
    message: fc.integer({ min: 1, max: 8 }),
    n: fc.integer({ min: 1, max: 3 }),
    attempts: fc.integer({ min: 1, max: 50 }),
  }),
);

function operationsOf(step: Step): Operation[] {
  if (step.do === "commit")
    return [commitOf(step.message, { envelopes: Array.from({ length: step.count }, () => ({})) })];
  const envelope = envelopeIdOf(messageIdOf(step.message), step.n);
  if (step.do === "remove") return [{ do: "remove", envelope }];
  return [{ do: "update", envelope, progress: { ...progress(), attempts: step.attempts } }];
}

/** Envelope ids with their attempts after a batch; undefined when the batch must be refused. */
function modelApply(model: ReadonlyMap<string, number>, steps: readonly Step[]): Map<string, number> | undefined {
  const next = new Map(model);
  for (const step of steps) {
    const message = messageIdOf(step.message);
    if (step.do === "commit") {
      if ([...next.keys()].some((id) => id.startsWith(message))) return undefined;
      for (let n = 1; n <= step.count; n++) next.set(envelopeIdOf(message, n), 0);
    } else {
      const id = envelopeIdOf(message, step.n);
      if (step.do === "remove") next.delete(id);
      else if (next.has(id)) next.set(id, step.attempts);
    }
  }
  return next;
}

type Commit = Extract<Operation, { do: "commit" }>;

/** A commit with sane facts, message number `n`. */
export function commitOf(
  n: number,
  given: { message?: Partial<Commit["message"]>; envelopes?: readonly Partial<NewEnvelope["envelope"]>[] } = {},
): Commit {
  const id = messageIdOf(n);
  const bytes = Buffer.from(`content of ${n}`);
  return {
    do: "commit",
    message: {
      id,
      sender: "sender@example.org",
      receivedAt: 1000,
      sizeBytes: bytes.length,
      content: "7bit",
      isInternational: false,
      origin: { listener: "smtp", protocol: "ESMTP", session: "s1", address: "192.0.2.7", port: 4711 },
      ...given.message,
    },
    body: { kind: "inline", bytes },
    envelopes: (given.envelopes ?? [{}]).map((envelope, index) => ({
      envelope: {
        id: envelopeIdOf(id, index + 1),
        message: id,
        recipient: "recipient@example.com",
        notify: [],
        action: "relay",
        ...envelope,
      },
      progress: progress(),
    })),
  };
}

function handedIn(listener: string, account: string): Commit["message"]["origin"] {
  return { listener, account, protocol: "ESMTPA", session: "s1" };
}

function progress(): EnvelopeProgress {
  return { state: "queued", dueAt: 1000, expiresAt: 9000, attempts: 0 };
}

function attempt(): AttemptRecord {
  return { startedAt: 1, tookMs: 2, outcome: "deferred", relay: "none" };
}

const failure: Failure = {
  lasting: "temporary",
  status: "4.4.1",
  cause: { kind: "connect", reason: "refused", text: "connection refused" },
  host: "mx.example[192.0.2.1]:25",
};

function idsOf(commit: Commit): string[] {
  return commit.envelopes.map(({ envelope }) => envelope.id);
}

async function loaded(store: Store): Promise<LoadedEnvelope[]> {
  const all: LoadedEnvelope[] = [];
  for await (const portion of store.load()) all.push(...portion);
  return all;
}

async function messagesIn(store: Store): Promise<number[]> {
  const ids = new Set((await loaded(store)).map(({ message }) => message));
  return [1, 2, 3, 4, 5].filter((n) => ids.has(messageIdOf(n)));
}

async function contentOf(store: Store, id: MessageId): Promise<string | undefined> {
  const body = await store.body(id);
  return body?.kind === "inline" ? Buffer.from(body.bytes).toString() : undefined;
}

/** Without prototypes and unset fields, which do not matter. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

export async function rejectsWith(code: PosthornError["code"], promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (thrown) => thrown instanceof PosthornError && thrown.code === code);
}
