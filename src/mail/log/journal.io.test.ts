import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import type { SetAside } from "../../foundation/damaged-database.ts";
import * as connectionEvents from "../connection/events.ts";
import { createJournal, type Journal } from "./journal.io.ts";
import { JournalQuery } from "./journal-query.io.ts";
import { JournalDatabase } from "./journal-worker.io.ts";
import {
  batchOf,
  boundsOf,
  EVENT_VALUES,
  eventLine,
  inputLine,
  lineWithoutDetails,
  type JournalThreadSettings,
} from "./journal.ts";
import { openJournalReader } from "./journal-reader.io.ts";
import { entryOf } from "./line.ts";
import type { EventRecord, Fields } from "./record.ts";
import { journalSettings } from "./settings.ts";
import { waitingLines } from "./waiting-lines.ts";

const MESSAGE = "01ARZ3NDEKT";
const OTHER = "01ARZ3NDEKV";
const from = { role: "server", pid: 4711, startedAt: 1000 };
const DAY_MS = 86_400_000;

function record(name: string, fields: Fields, at = Date.now(), by = from): EventRecord {
  return { at, name, level: "info", from: by, fields };
}

/** A message from its connection to its removal, and some noise of others. */
function story(): readonly EventRecord[] {
  return [
    record("connection.opened", { session: "s1", peer: "client.example[192.0.2.1]" }),
    record("connection.opened", { session: "s2", peer: "other.example[192.0.2.2]" }),
    record("session.client", { session: "s1", message: MESSAGE }),
    record("scheduler.active", { message: MESSAGE, sender: "Anna@a.example", size: 100 }),
    record("delivery.sent", { envelope: `${MESSAGE}.1`, recipient: "bert@b.example" }),
    record("delivery.sent", { envelope: `${MESSAGE}.2`, recipient: "carl@c.example" }),
    record("delivery.sent", { envelope: `${OTHER}.1`, recipient: "bert@b.example" }),
    record("connection.closed", { session: "s1", peer: "client.example[192.0.2.1]" }),
    record("connection.opened", { session: "s1", peer: "elsewhere.example[192.0.2.3]" }, Date.now(), {
      ...from,
      pid: 1,
    }),
  ];
}

function withDirectory(): { readonly path: string } & AsyncDisposable {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-journal-"));
  return {
    path: join(directory, "journal", "journal.db"),
    [Symbol.asyncDispose]: () => Promise.resolve(rmSync(directory, { recursive: true })),
  };
}

function journalAt(path: string, settings: object = {}): Journal {
  const reports = { trouble: () => {}, lost: () => {} };
  return createJournal({ path, settings: journalSettings.parse(settings), clock: systemClock, reports });
}

test("what waits for the journal's disk is bounded with the details of TLS, which go before events do", () => {
  const told = eventLine(0, record("delivery.tls-failed", { details: "x".repeat(50_000) }));
  const waiting = waitingLines(200_000, lineWithoutDetails);
  for (let count = 0; count < 100; count++) waiting.add(told);
  const { events } = batchOf([], waiting.take(1_000_000));
  assert.equal(events.length / EVENT_VALUES, 100);
  assert.ok(JSON.stringify(events).length < 250_000);
});

test("a message's story has its own events and those of its session, and nobody else's", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  journal.write(story());
  await journal.close();
  await using reader = openJournalReader(place.path);
  const told = await reader.story({ by: "message", id: MESSAGE });
  assert.deepEqual(
    told.map((entry) => [entry.record.name, entry.record.fields["session"] ?? entry.record.fields["recipient"]]),
    [
      ["connection.opened", "s1"],
      ["session.client", "s1"],
      ["scheduler.active", undefined],
      ["delivery.sent", "bert@b.example"],
      ["delivery.sent", "carl@c.example"],
      ["connection.closed", "s1"],
    ],
  );
  const one = await reader.story({ by: "message", id: `${MESSAGE}.2` });
  assert.deepEqual(one.map((entry) => entry.record.fields["recipient"]).filter(Boolean), ["carl@c.example"]);
});

test("a mail that went through a filter and came back has one story, whichever of its ids is asked for", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  const third = "01ARZ3NDEKW";
  journal.write([
    record("session.client", { session: "s1", message: MESSAGE }, 1),
    record("delivery.sent", { envelope: `${MESSAGE}.1`, recipient: "bert@b.example" }, 2),
    record("session.filtered-copy", { session: "s2", message: OTHER, original: MESSAGE }, 3),
    record("session.came-back", { message: MESSAGE, copy: OTHER }, 4),
    record("delivery.sent", { envelope: `${OTHER}.1`, recipient: "bert@b.example" }, 5),
    record("session.filtered-copy", { session: "s3", message: third, original: OTHER }, 6),
    record("session.came-back", { message: OTHER, copy: third }, 7),
    record("scheduler.active", { message: "01ARZ3NDEKX", sender: "Anna@a.example", size: 100 }, 8),
    // Who asks for it shall not wait for ever.
    record("session.came-back", { message: third, copy: MESSAGE }, 9),
  ]);
  await journal.close();
  await using reader = openJournalReader(place.path);
  for (const id of [MESSAGE, OTHER, third]) {
    const told = await reader.story({ by: "message", id });
    assert.deepEqual(
      told.map(({ record: { at } }) => at),
      [1, 2, 3, 4, 5, 6, 7, 9],
      id,
    );
  }
  const one = await reader.story({ by: "message", id: `${MESSAGE}.1` });
  assert.ok(one.every(({ record: { at } }) => at <= 4));
});

test("a session's story is the newest process's, for session ids begin anew with each", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  journal.write(story());
  await journal.close();
  await using reader = openJournalReader(place.path);
  const told = await reader.story({ by: "session", session: "s1" });
  assert.deepEqual(
    told.map((entry) => entry.record.fields["peer"]),
    ["elsewhere.example[192.0.2.3]"],
  );
});

test("a session is found by the number in brackets of its lines, too, in the process that had it", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  const by = { ...from, pid: 4711 };
  const opened = record("connection.opened", { session: "smtp-1a", peer: "one.example[192.0.2.1]" }, 1_000, by);
  const closed = record("connection.closed", { session: "smtp-1a", peer: "one.example[192.0.2.1]" }, 2_000, by);
  const other = record("connection.opened", { session: "smtp-1b", peer: "two.example[192.0.2.2]" }, 3_000, by);
  const later = { ...by, pid: 4712 };
  const anew = record("connection.opened", { session: "smtp-1a", peer: "three.example[192.0.2.3]" }, 4_000, later);
  journal.write([opened, closed, other, anew]);
  await journal.close();
  await using reader = openJournalReader(place.path);
  const { number } = entryOf(opened, connectionEvents.connected);
  for (const session of [String(number), `[${number}]`]) {
    const told = await reader.story({ by: "session", session });
    assert.deepEqual(
      told.map((entry) => entry.record.name),
      ["connection.opened", "connection.closed"],
    );
  }
  assert.deepEqual(await reader.story({ by: "session", session: String(number + 7) }), []);
  assert.deepEqual(await reader.story({ by: "session", session: "12345" }), []);
});

test("an address is found whatever its case, as sender or as recipient", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  journal.write(story());
  await journal.close();
  await using reader = openJournalReader(place.path);
  assert.equal((await reader.story({ by: "address", address: "BERT@b.example" })).length, 2);
  assert.equal((await reader.story({ by: "address", address: "anna@A.example", as: "sender" })).length, 1);
  assert.equal((await reader.story({ by: "address", address: "anna@a.example", as: "recipient" })).length, 0);
});

test("plain SQL reads the events, and can neither change anything nor reach another file", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  journal.write(story());
  await journal.close();
  const query = new JournalQuery(place.path);
  const answer = query.sql("SELECT event, count(*) AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 1");
  assert.deepEqual(answer, { columns: ["event", "n"], rows: [["connection.opened", 3]], isCut: false });
  for (const text of ["DELETE FROM entry", "ATTACH '/etc/passwd' AS x", "PRAGMA user_version = 9", "SELEC"])
    assert.throws(() => query.sql(text), Error, text);
  query.close();
});

test("a journal that is no database is put aside and a new one begun", async () => {
  await using place = withDirectory();
  const first = journalAt(place.path);
  first.write(story());
  await first.close();
  writeFileSync(place.path, "this was a journal once, before the disk lost its mind".repeat(100));
  const journal = journalAt(place.path);
  journal.write(story());
  assert.equal(await journal.flush(), true);
  await journal.close();
  assert.equal(existsSync(`${place.path}.broken`), true);
  const query = new JournalQuery(place.path);
  assert.equal(query.sql("SELECT count(*) FROM events").rows[0]?.[0], story().length);
  query.close();
});

test("a journal that is damaged in its middle is set aside with a word, and what was to be written is in the new one", async () => {
  await using place = withDirectory();
  const first = journalAt(place.path);
  first.write(Array.from({ length: 500 }, (_, n) => record("a.b", { n, text: "x".repeat(100) })));
  await first.close();
  writeFileSync(place.path, readFileSync(place.path).fill(0xa5, 4096));
  const told: SetAside[] = [];
  const journal = createJournal({
    path: place.path,
    settings: journalSettings.parse({}),
    clock: systemClock,
    reports: { trouble: (_, problem) => assert.fail(problem), lost: () => {} },
    onSetAside: (what) => told.push(what),
  });
  journal.write(story());
  assert.equal(await journal.flush(), true);
  await journal.close();
  assert.deepEqual(
    told.map(({ file, aside }) => [file, aside]),
    [[place.path, `${place.path}.broken`]],
  );
  assert.equal(existsSync(`${place.path}.broken`), true);
  const query = new JournalQuery(place.path);
  assert.equal(query.sql("SELECT count(*) FROM events").rows[0]?.[0], story().length);
  query.close();
});

test("a question to a damaged journal is answered with its name and what to do", async () => {
  await using place = withDirectory();
  const first = journalAt(place.path);
  first.write(Array.from({ length: 500 }, (_, n) => record("a.b", { n, session: "s1", text: "x".repeat(100) })));
  await first.close();
  writeFileSync(place.path, readFileSync(place.path).fill(0xa5, 4096 * 20));
  await using reader = openJournalReader(place.path);
  await assert.rejects(
    reader.story({ by: "session", session: "s1" }),
    (thrown: Error) => thrown.message.includes(`${place.path} is damaged`) && /stop the server/.test(thrown.message),
  );
});

function database(path: string, limits: Partial<JournalThreadSettings> = {}): JournalDatabase {
  const wide = { retentionMs: 30 * DAY_MS, mostBytes: 1e9, inputRetentionMs: 30 * DAY_MS, mostInputBytes: 1e9 };
  return new JournalDatabase({ path, ...wide, ...limits });
}

test("events older than the retention go, younger ones stay", async () => {
  await using place = withDirectory();
  const journal = database(place.path, { retentionMs: DAY_MS });
  const now = Date.now();
  const rows = [now - 3 * DAY_MS, now - 2 * DAY_MS, now - 1000].map((at) => eventLine(0, record("a.b", {}, at)));
  journal.write(batchOf([from], rows));
  while (journal.tidy(now));
  journal.close();
  const query = new JournalQuery(place.path);
  assert.deepEqual(query.sql("SELECT at FROM events").rows, [[now - 1000]]);
  query.close();
});

test("beyond its size the journal lets the oldest go", async () => {
  await using place = withDirectory();
  const journal = database(place.path, { mostBytes: 1_000_000 });
  const now = Date.now();
  for (let round = 0; round < 10; round++) {
    const rows = Array.from({ length: 1000 }, (_, n) =>
      eventLine(0, record("a.b", { n: round * 1000 + n, text: "x".repeat(200) }, now + round)),
    );
    journal.write(batchOf([from], rows));
    for (let portion = 0; portion < 20 && journal.tidy(now); portion++);
  }
  journal.close();
  const query = new JournalQuery(place.path);
  const [left, newest] = query.sql("SELECT count(*), max(fields ->> 'n') FROM events").rows[0] ?? [];
  assert.ok(Number(left) < 7000, `${left} left`);
  assert.equal(newest, 9999);
  query.close();
});

test("recorded inputs take no more of the journal than half, and no event has to go for them", async () => {
  await using place = withDirectory();
  const journal = database(place.path, boundsOf(journalSettings.parse({ size: "16MiB", inputs: { size: "256MiB" } })));
  const now = Date.now();
  const json = JSON.stringify({ text: "x".repeat(100_000) });
  for (let round = 0; round < 10; round++) {
    const events = Array.from({ length: 200 }, (_, n) =>
      eventLine(0, record("a.b", { n: round * 200 + n }, now + round)),
    );
    const inputs = Array.from({ length: 20 }, (_, n) => inputLine(now + round, json, n === 0));
    journal.write(batchOf([from], [...events, ...inputs]));
    for (let portion = 0; portion < 50 && journal.tidy(now); portion++);
  }
  journal.close();
  const query = new JournalQuery(place.path);
  assert.deepEqual(query.sql("SELECT count(*), min(at), max(at) FROM events").rows[0], [2000, now, now + 9]);
  const [bytes] = query.sql("SELECT sum(length(json)) FROM input").rows[0] ?? [];
  assert.ok(Number(bytes) > 4 * 1024 * 1024 && Number(bytes) <= 8 * 1024 * 1024, `${bytes} bytes of inputs`);
  query.close();
});

test("a journal that is a little too large loses its oldest events, not a whole portion of them", async () => {
  await using place = withDirectory();
  const journal = database(place.path, { mostBytes: 1_000_000 });
  const now = Date.now();
  const rows = Array.from({ length: 1100 }, (_, n) =>
    eventLine(0, record("a.b", { n, text: "x".repeat(1000) }, now + n)),
  );
  journal.write(batchOf([from], rows));
  for (let portion = 0; portion < 20 && journal.tidy(now); portion++);
  journal.close();
  const query = new JournalQuery(place.path);
  const [left, newest] = query.sql("SELECT count(*), max(fields ->> 'n') FROM events").rows[0] ?? [];
  assert.ok(Number(left) > 500 && Number(left) < 1000, `${left} left`);
  assert.equal(newest, 1099);
  query.close();
});

test("an event that cannot be kept goes alone, and of one whose details cannot be kept the rest stays", async () => {
  await using place = withDirectory();
  const journal = database(place.path);
  const now = Date.now();
  const rows = [
    eventLine(0, record("a.before", { session: "s1" }, now)),
    eventLine(0, record("a.timeless", { session: "s1" }, Number.NaN)),
    eventLine(0, record("a.endless", { session: "s1" }, 1e300)),
    eventLine(
      0,
      record("delivery.tls-established", { session: "s1", details: '{"told":"failed","peer":{},"finding":{}}' }, now),
    ),
    eventLine(0, record("a.after", { session: "s1" }, now)),
    inputLine(Number.NaN, "{}", false),
    inputLine(now, '{"state":1}', true),
  ];
  const refused = journal.write(batchOf([from], rows));
  assert.deepEqual(
    refused.map(({ what }) => what),
    ["a.timeless", "a.endless", "details of delivery.tls-established", "an input of the scheduler"],
  );
  assert.deepEqual(journal.write(batchOf([from], [eventLine(0, record("a.later", {}, now))])), []);
  journal.close();
  const query = new JournalQuery(place.path);
  assert.deepEqual(query.sql("SELECT event FROM events ORDER BY id").rows.flat(), [
    "a.before",
    "delivery.tls-established",
    "a.after",
    "a.later",
  ]);
  assert.equal([...query.inputs(now)].length, 1);
  query.close();
});

test("inputs are replayed from the last start before a moment, in order, and go by whole starts", async () => {
  await using place = withDirectory();
  const journal = database(place.path, { inputRetentionMs: 1000 });
  const now = Date.now();
  const inputs = [
    inputLine(now - 5000, '{"state":1}', true),
    inputLine(now - 4000, '{"input":1}', false),
    inputLine(now - 500, '{"state":2}', true),
    inputLine(now - 400, '{"input":2}', false),
    inputLine(now - 400, '{"input":3}', false),
  ];
  journal.write(batchOf([], inputs));
  const query = new JournalQuery(place.path);
  assert.deepEqual([...query.inputs(now - 4500)].map(({ json }) => json).slice(0, 2), ['{"state":1}', '{"input":1}']);
  while (journal.tidy(now));
  assert.deepEqual(
    [...query.inputs(now)].map(({ json }) => json),
    ['{"state":2}', '{"input":2}', '{"input":3}'],
  );
  assert.equal(query.sql("SELECT count(*) FROM input").rows[0]?.[0], 3);
  query.close();
  journal.close();
});

// On a full disk SQLite rolls back by itself; after other failures the transaction is still there.
for (const [what, action] of [
  ["a full disk", "ROLLBACK"],
  ["another failure", "ABORT"],
] as const)
  test(`what a batch brought that could not be written is not believed to be there: ${what}`, async () => {
    await using place = withDirectory();
    const journal = database(place.path, { mostInputBytes: 1000 });
    const now = Date.now();
    const second = { ...from, role: "second" };
    const input = JSON.stringify({ text: "x".repeat(500) });
    journal.write(batchOf([], [inputLine(now, input, true)]));
    const disk = new DatabaseSync(place.path);
    disk.exec(
      `CREATE TRIGGER full BEFORE INSERT ON input WHEN NEW.json = 'last' BEGIN SELECT RAISE(${action}, 'the disk is full'); END`,
    );
    const batch = batchOf(
      [from],
      [eventLine(0, record("a.first", {}, now)), inputLine(now, input, false), inputLine(now, "last", false)],
    );
    for (let attempt = 0; attempt < 3; attempt++)
      assert.throws(() => journal.write(batch), /^Error: the disk is full$/);
    disk.exec("DROP TRIGGER full");
    disk.close();
    journal.write(batchOf([from, second], [eventLine(1, record("b.second", {}, now, second))]));
    journal.write(batchOf([from, second], [eventLine(0, record("a.first", {}, now))]));
    while (journal.tidy(now));
    journal.close();
    const query = new JournalQuery(place.path);
    assert.deepEqual(query.sql("SELECT event, role FROM events ORDER BY id").rows, [
      ["b.second", "second"],
      ["a.first", "server"],
    ]);
    assert.equal(query.sql("SELECT count(*) FROM input").rows[0]?.[0], 1);
    query.close();
  });

test("a message's story has the lines of the session that delivered it, told by another process than the attempt", async () => {
  await using place = withDirectory();
  const journal = journalAt(place.path);
  const scheduler = { role: "scheduler", pid: 20, startedAt: 5000 };
  const egress = { role: "egress", pid: 21, startedAt: 4000 };
  const by = (from: typeof egress, name: string, at: number, fields: Fields): EventRecord =>
    record(name, fields, at, from);
  journal.write([
    by(egress, "delivery.tls-established", 4500, { session: "s1", host: "before the scheduler's new life" }),
    by(egress, "delivery.tls-established", 6000, { session: "s1", host: "mx" }),
    by(egress, "delivery.tls-established", 6001, { session: "s2", host: "another" }),
    by(scheduler, "delivery.smtp", 6002, { session: "s1", message: MESSAGE, to: "bert@b.example" }),
    by(egress, "delivery.tls-closed", 6003, { session: "s1", host: "mx" }),
  ]);
  await journal.close();
  await using reader = openJournalReader(place.path);
  const names = (entries: readonly { readonly record: EventRecord }[]): readonly string[] =>
    entries.map(({ record: { name, at } }) => `${at} ${name}`);
  const expected = ["6000 delivery.tls-established", "6002 delivery.smtp", "6003 delivery.tls-closed"];
  assert.deepEqual(names(await reader.story({ by: "message", id: MESSAGE })), expected);
  assert.deepEqual(names(await reader.story({ by: "session", session: "s1" })).slice(-3), expected);
});
