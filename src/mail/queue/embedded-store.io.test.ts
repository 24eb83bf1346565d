import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
  renameSync,
  truncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { Clock } from "../../foundation/clock.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { envelopeIdOf, messageIdOf, type EnvelopeId } from "../../foundation/ids.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { restore } from "./backup.io.ts";
import { bodyFileName } from "./body-names.ts";
import { bodyFilesIn } from "./intake.io.ts";
import { STORE_FORMAT } from "./schema.ts";
import { queueSettings } from "./settings.ts";
import { openStore } from "./store.io.ts";
import type { Body, LoadedEnvelope, Store } from "./store.ts";
import { commitOf, rejectsWith } from "./store.suite.ts";
import { storeError } from "./store-writer.io.ts";

/** What is true of the embedded store beyond the suite of all stores: files, locks, versions, backups. */
const settings = queueSettings.parse({});

function spoolTest(sentence: string, work: (directory: string) => Promise<void>): void {
  test(sentence, async () => {
    const root = mkdtempSync(`${tmpdir()}/posthorn-spool-`);
    try {
      await work(`${root}/queue`);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
}

const open = (directory: string, emit?: Emit): Promise<Store> =>
  openStore({ directory, settings, clock: systemClock, emit });

async function bodyFile(directory: string, n: number, text: string): Promise<Body> {
  const file = await bodyFilesIn(directory).create(messageIdOf(n));
  await file.write(Buffer.from(text));
  return { kind: "file", name: file.name, sizeBytes: await file.finish() };
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; tries < 6000 && !isTrue(); tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(isTrue());
}

spoolTest("what was committed is there after closing and opening again", async (directory) => {
  {
    await using store = await open(directory);
    await store.apply([commitOf(1), commitOf(2)]);
  }
  const opened: unknown[] = [];
  await using store = await open(directory, (event, fields) => {
    if (event.name === "queue.store-opened") opened.push({ ...fields, took: "some" });
  });
  assert.equal((await store.list({})).length, 2);
  assert.deepEqual([store.counters().messages, store.counters().envelopes], [2, 2]);
  assert.deepEqual(opened, [{ directory, messages: 2, envelopes: 2, took: "some" }]);
});

spoolTest("a message whose content is missing is without one, and the others have theirs", async (directory) => {
  {
    await using store = await open(directory);
    await store.apply([commitOf(1), commitOf(2)]);
  }
  const database = new DatabaseSync(join(directory, "queue.db"));
  database.prepare("DELETE FROM bodies WHERE message = ?").run(1);
  database.close();
  await using store = await open(directory);
  assert.equal(await store.body(messageIdOf(1)), undefined);
  assert.equal((await store.message(messageIdOf(1)))?.id, messageIdOf(1));
  assert.equal((await store.body(messageIdOf(2)))?.kind, "inline");
  await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }]);
  assert.equal((await store.list({})).length, 1);
});

spoolTest("a record that the disk has damaged costs its own message alone, and is told", async (directory) => {
  const failure = {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "timeout", text: "" },
  } as const;
  const idOf = (number: number): EnvelopeId => envelopeIdOf(messageIdOf(number), 1);
  const count = 9;
  {
    await using store = await open(directory);
    for (let number = 1; number <= count; number++) {
      const commit = commitOf(number);
      const [first] = commit.envelopes;
      assert.ok(first);
      const message = {
        ...commit.message,
        tenant: "t",
        deliverBy: { at: 5e12, mode: "return", trace: false },
      } as const;
      const envelopes = [{ ...first, envelope: { ...first.envelope, sender: "s@own.example" } }];
      await store.apply([{ ...commit, message, envelopes }]);
      const state = number === 4 ? "held" : "queued";
      const progress = { ...first.progress, state, attempts: 1, warnedAt: 5, lastFailure: failure } as const;
      const attempt = { startedAt: 1, tookMs: 1, outcome: "deferred", relay: "none", failure } as const;
      await store.apply([{ do: "update", envelope: idOf(number), progress, attempt }]);
    }
  }
  const database = new DatabaseSync(join(directory, "queue.db"));
  const damage = (table: string, column: string, id: number, text: string): void => {
    const key = table === "messages" ? "id" : "message";
    database.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${key} = ?`).run(text, id);
  };
  damage("messages", "facts", 1, '{"content":"8bit","tenant":\u0000');
  damage("messages", "facts", 2, "[]");
  damage("envelopes", "facts", 3, '{"sender":"s@own.exa');
  damage("envelopes", "progress", 4, '{"heldBecause":');
  damage("envelopes", "progress", 5, '{"beganAt":1x}');
  damage("envelopes", "last_failure", 6, '{"lasting"');
  damage("attempts", "failure", 7, "{");
  damage("envelopes", "facts", 8, "7");
  database.close();
  const said: string[] = [];
  await using store = await open(directory, (event, fields) => {
    if (event.name !== "queue.store-opened")
      said.push(`${event.name} ${String((fields as { message?: string }).message)}`);
  });
  const loaded: LoadedEnvelope[] = [];
  for await (const portion of store.load()) loaded.push(...portion);
  assert.deepEqual(
    loaded.map(({ id }) => id),
    Array.from({ length: count }, (_, index) => idOf(index + 1)),
  );
  assert.deepEqual(
    said,
    [3, 4, 8].map((number) => `queue.record-damaged ${messageIdOf(number)}`),
  );
  assert.match(loaded[3]?.progress.heldBecause ?? "", /damaged/);
  assert.equal(loaded[8]?.tenant, "t");
  const listed = await store.list({});
  assert.equal(listed.length, count);
  assert.match(listed[3]?.heldBecause ?? "", /damaged/);
  assert.deepEqual([listed[5]?.lastFailure, listed[8]?.lastFailure], [undefined, failure]);
  assert.equal((await store.list({ sender: "s@own.example" })).length, count - 2);
  assert.deepEqual(await store.list({ origin: { listener: "x", account: "y" } }), []);
  const damagedMessages: number[] = [];
  const damagedEnvelopes: number[] = [];
  for (let number = 1; number <= count; number++) {
    if ((await store.message(messageIdOf(number)))?.isDamaged === true) damagedMessages.push(number);
    if ((await store.envelopes([idOf(number)]))[0]?.isDamaged === true) damagedEnvelopes.push(number);
    assert.equal((await store.attempts(idOf(number))).length, 1);
  }
  assert.deepEqual(
    [damagedMessages, damagedEnvelopes],
    [
      [1, 2],
      [3, 8],
    ],
  );
  const [, another] = commitOf(1, { envelopes: [{}, {}] }).envelopes;
  assert.ok(another);
  await rejectsWith("SPOOL_REFUSED", store.apply([{ do: "add", message: messageIdOf(1), envelopes: [another] }]));
  for (let number = 1; number <= count; number++) await store.apply([{ do: "remove", envelope: idOf(number) }]);
  assert.equal((await store.list({})).length, 0);
});

spoolTest("what comes in the moment a queue is open counts once", async (directory) => {
  const many = 3000;
  {
    await using store = await open(directory);
    await store.apply(Array.from({ length: many }, (_, n) => commitOf(n + 1)));
  }
  await using store = await open(directory);
  await Promise.all([
    store.apply([commitOf(many + 1)]),
    store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }]),
  ]);
  assert.deepEqual([store.counters().messages, store.counters().envelopes], [many, many]);
});

spoolTest("a queue that cannot be read to its end is not opened, and nothing of it goes on", async (directory) => {
  {
    await using store = await open(directory);
    await store.apply(Array.from({ length: 3000 }, (_, n) => commitOf(n + 1)));
  }
  const file = join(directory, "queue.db");
  const { size } = statSync(file);
  const broken = openSync(file, "r+");
  writeSync(broken, Buffer.alloc(size / 2, 0xff), 0, undefined, Math.floor(size / 4));
  closeSync(broken);
  const timers: number[] = [];
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, run) => {
      timers.push(delayMs);
      return systemClock.after(delayMs, run);
    },
  };
  await assert.rejects(openStore({ directory, settings, clock }), {
    code: "SPOOL_FAILED",
    message: /^cannot open the queue in .*: .*malformed/,
  });
  // Its threads have ended when it rejects or soon after; whatever they still say begins nothing.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual(timers, []);
});

spoolTest("a queue whose folder cannot be made is not opened, and it is said which", async (directory) => {
  writeFileSync(directory, "");
  const below = join(directory, "queue");
  await assert.rejects(openStore({ directory: below, settings, clock: systemClock }), {
    code: "SPOOL_FAILED",
    message: /^cannot open the queue in .*queue\/queue: ENOTDIR/,
  });
});

spoolTest("nobody but the server's user may read the spool", async (directory) => {
  await using store = await open(directory);
  await store.apply([{ ...commitOf(1), body: await bodyFile(directory, 1, "secret") }]);
  for (const file of [
    "",
    "queue.db",
    "queue.db-wal",
    "queue.db-shm",
    "bodies",
    `bodies/${bodyFileName(messageIdOf(1))}`,
  ])
    assert.equal(statSync(`${directory}/${file}`).mode & 0o077, 0, file);
});

spoolTest("a second server on the same directory is refused, and told the first one's process", async (directory) => {
  {
    await using _store = await open(directory);
    await assert.rejects(open(directory), { code: "SPOOL_IN_USE", message: new RegExp(`process ${process.pid}$`) });
    const other = spawnSync(process.execPath, [
      "--input-type=module",
      "-e",
      `import { openStore } from ${JSON.stringify(new URL("store.io.ts", import.meta.url).href)};
       import { queueSettings } from ${JSON.stringify(new URL("settings.ts", import.meta.url).href)};
       import { systemClock } from ${JSON.stringify(new URL("../../foundation/clock.io.ts", import.meta.url).href)};
       const problem = await openStore({ directory: ${JSON.stringify(directory)}, settings: queueSettings.parse({}),
         clock: systemClock }).catch((thrown) => thrown);
       console.log(problem.code, problem.message);`,
    ]);
    assert.match(other.stdout.toString(), new RegExp(`^SPOOL_IN_USE .*process ${process.pid}\n$`));
  }
  await using store = await open(directory);
  assert.equal(store.counters().messages, 0);
});

spoolTest(
  "a spool of a newer format, and a database that is no queue, are left alone with advice",
  async (directory) => {
    await (await open(directory))[Symbol.asyncDispose]();
    const database = new DatabaseSync(`${directory}/queue.db`);
    database.exec(`PRAGMA user_version = ${STORE_FORMAT + 1}`);
    database.close();
    await assert.rejects(open(directory), { code: "STORE_VERSION", message: /format/ });
    const other = new DatabaseSync(`${directory}/queue.db`);
    other.exec(`PRAGMA user_version = 0; PRAGMA application_id = 7`);
    other.close();
    await assert.rejects(open(directory), { code: "STORE_VERSION", message: /does not hold the queue/ });
  },
);

spoolTest("a spool of the format before gets what is new, and keeps what it has", async (directory) => {
  const commit = commitOf(1);
  {
    await using store = await open(directory);
    await store.apply([commit]);
  }
  const database = new DatabaseSync(`${directory}/queue.db`);
  database.exec("DROP TABLE notes; PRAGMA user_version = 1");
  database.close();
  await using store = await open(directory);
  await store.apply([{ do: "note", key: "k", text: "t" }]);
  assert.deepEqual(
    (await store.notes("")).map(({ key, text }) => [key, text]),
    [["k", "t"]],
  );
  assert.equal(store.counters().messages, 1);
});

/** What stood in a new queue of format 1, and the mail that a version of that time wrote. Never changed again. */
const FORMAT_1 = `
  CREATE TABLE messages (
    id            INTEGER PRIMARY KEY,
    sender        TEXT    NOT NULL,
    received_at   INTEGER NOT NULL,
    size_bytes    INTEGER NOT NULL,
    deliver_by_at INTEGER,
    body_file     TEXT,
    body_bytes    INTEGER NOT NULL,
    facts         TEXT    NOT NULL
  ) STRICT;

  CREATE TABLE bodies (
    message INTEGER PRIMARY KEY,
    bytes   BLOB NOT NULL
  ) STRICT;

  CREATE TABLE envelopes (
    message      INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    recipient    TEXT    NOT NULL,
    domain       TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    facts        TEXT,
    state        TEXT    NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    progress     TEXT,
    last_failure TEXT,
    PRIMARY KEY (message, n)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE attempts (
    message    INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    took_ms    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    relay      TEXT    NOT NULL,
    failure    TEXT,
    reply      TEXT,
    PRIMARY KEY (message, n, number)
  ) STRICT, WITHOUT ROWID;

  INSERT INTO messages VALUES (1, 'joe@example.org', 1000, 13, NULL, NULL, 12, '{"content":"7bit","isInternational":false,"origin":{"listener":"smtp","protocol":"ESMTP","session":"s1"}}');
  INSERT INTO bodies VALUES (1, CAST('content of 1' AS BLOB));
  INSERT INTO envelopes VALUES (1, 1, 'ann@example.com', 'example.com', 'relay', NULL, 'queued', 2000, 9000, 1, NULL, NULL);
  INSERT INTO attempts VALUES (1, 1, 1, 1500, 20, 'deferred', 'example.com', NULL, NULL);
  PRAGMA application_id = 1349743720;
  PRAGMA user_version = 1;
`;

spoolTest("a spool as the first format had it is opened with its mail, and is then as a new one", async (directory) => {
  await (await open(`${directory}-new`))[Symbol.asyncDispose]();
  mkdirSync(directory);
  const first = new DatabaseSync(`${directory}/queue.db`);
  first.exec(FORMAT_1);
  first.close();
  {
    await using store = await open(directory);
    const loaded = [];
    for await (const portion of store.load()) loaded.push(...portion);
    assert.deepEqual(
      loaded.map(({ id, recipient, progress: { dueAt, attempts } }) => [id, recipient, dueAt, attempts]),
      [[envelopeIdOf(messageIdOf(1), 1), "ann@example.com", 2000, 1]],
    );
    assert.equal((await store.attempts(envelopeIdOf(messageIdOf(1), 1))).length, 1);
    assert.equal((await store.message(messageIdOf(1)))?.sender, "joe@example.org");
    assert.equal((await store.body(messageIdOf(1)))?.kind, "inline");
    await store.apply([{ do: "note", key: "k", text: "t" }, commitOf(2)]);
    assert.deepEqual([store.counters().messages, store.counters().envelopes], [2, 2]);
  }
  const layoutOf = (path: string): unknown => {
    const database = new DatabaseSync(`${path}/queue.db`, { readOnly: true });
    const tables = database.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").all();
    const version = database.prepare("PRAGMA user_version").get()?.["user_version"];
    database.close();
    return { tables, version };
  };
  assert.deepEqual(layoutOf(directory), layoutOf(`${directory}-new`));
});

spoolTest("a file that is no database fails the start with SPOOL_FAILED", async (directory) => {
  await (await open(directory))[Symbol.asyncDispose]();
  writeFileSync(`${directory}/queue.db`, "this is not a database, whatever its name says. ".repeat(200));
  await rejectsWith("SPOOL_FAILED", open(directory));
});

spoolTest("a commit whose body file is not there, or is shorter, is refused; the store goes on", async (directory) => {
  await using store = await open(directory);
  const body: Body = { kind: "file", name: bodyFileName(messageIdOf(1)), sizeBytes: 5 };
  await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commitOf(1), body }]));
  const present = await bodyFile(directory, 1, "1234");
  await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commitOf(1), body }]));
  await rejectsWith("SPOOL_REFUSED", store.apply([{ ...commitOf(2), body: { ...body, name: "../owner" } }]));
  await store.apply([{ ...commitOf(1), body: present }]);
});

spoolTest("the body file goes after its message's last envelope, not before", async (directory) => {
  await using store = await open(directory);
  const path = `${directory}/bodies/${bodyFileName(messageIdOf(1))}`;
  await store.apply([{ ...commitOf(1, { envelopes: [{}, {}] }), body: await bodyFile(directory, 1, "text") }]);
  await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }]);
  assert.ok(existsSync(path));
  await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 2) }]);
  await until(() => !existsSync(path));
});

spoolTest(
  "old files that no message names are swept at the start; named, young and foreign ones stay",
  async (directory) => {
    const orphan = await open(directory).then(async (store) => {
      await store.apply([{ ...commitOf(1), body: await bodyFile(directory, 1, "named") }]);
      const body = await bodyFile(directory, 2, "orphan");
      await bodyFile(directory, 3, "young");
      await store[Symbol.asyncDispose]();
      return body;
    });
    const pathOf = (n: number): string => `${directory}/bodies/${bodyFileName(messageIdOf(n))}`;
    const longAgo = new Date(Date.now() - settings.keepOrphansFor - 60_000);
    writeFileSync(`${directory}/bodies/00/README`, "not ours");
    for (const path of [pathOf(1), pathOf(2), `${directory}/bodies/00/README`]) utimesSync(path, longAgo, longAgo);
    assert.equal(orphan.kind, "file");
    const swept: unknown[] = [];
    await using _store = await open(directory, (event, fields) => {
      if (event.name === "queue.orphans-swept") swept.push(fields);
    });
    await until(() => swept.length > 0);
    assert.deepEqual(swept, [{ directory, files: 1, size: 6, problem: undefined }]);
    assert.deepEqual(
      [1, 2, 3].map((n) => existsSync(pathOf(n))),
      [true, false, true],
    );
    assert.ok(existsSync(`${directory}/bodies/00/README`));
  },
);

spoolTest("a body file that somebody deleted is told at the start", async (directory) => {
  {
    await using store = await open(directory);
    await store.apply([{ ...commitOf(1), body: await bodyFile(directory, 1, "text") }, commitOf(2)]);
  }
  rmSync(`${directory}/bodies/${bodyFileName(messageIdOf(1))}`);
  const told: unknown[] = [];
  await using _store = await open(directory, (event, fields) => {
    if (event.name === "queue.body-missing") told.push(fields);
  });
  await until(() => told.length > 0);
  assert.deepEqual(told, [{ directory, message: messageIdOf(1), file: bodyFileName(messageIdOf(1)) }]);
});

spoolTest("commits that wait together share one sync", async (directory) => {
  await using store = await open(directory);
  await Promise.all(Array.from({ length: 200 }, (_, n) => store.apply([commitOf(n + 1)])));
  const { commits, syncs } = store.counters();
  assert.equal(commits, 200);
  assert.ok(syncs < 20, `${syncs} syncs`);
});
spoolTest(
  "removals wait a moment for others and share their sync, or have one of their own; closing waits for them",
  async (directory) => {
    const clock = virtualClock(0);
    const store = await openStore({ directory, settings, clock });
    const removal = (n: number) => store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(n), 1) }]);
    await store.apply([1, 2, 3].map((n) => commitOf(n)));
    const before = store.counters().syncs;

    const together = [removal(1), store.apply([commitOf(4)])];
    await Promise.all(together);
    assert.equal(store.counters().syncs, before + 1);

    let isDone = false;
    const alone = removal(2).then(() => (isDone = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(isDone, false);
    await clock.advance(20);
    await alone;
    assert.equal(store.counters().syncs, before + 2);

    const last = removal(3);
    await store[Symbol.asyncDispose]();
    await last;
    await using again = await open(directory);
    assert.deepEqual(
      (await again.list({})).map(({ message }) => message),
      [messageIdOf(4)],
    );
  },
);

spoolTest("the log stays bounded while mail comes and goes", async (directory) => {
  await using store = await open(directory);
  const bytes = Buffer.alloc(30_000, "x");
  for (let n = 1; n <= 1500; n++)
    if (n % 50 === 0)
      await Promise.all(
        Array.from({ length: 50 }, (_, k) =>
          store
            .apply([{ ...commitOf(n - k), body: { kind: "inline", bytes } }])
            .then(() => store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(n - k), 1) }])),
        ),
      );
  // 45 MB went through; the log is copied at 4 MiB, and the group at work may come on top.
  assert.ok(statSync(`${directory}/queue.db-wal`).size < 16 * 1024 * 1024);
});

spoolTest("a backup of the running queue, restored, is the queue as of one instant", async (directory) => {
  const backup = `${directory}-backup`;
  const restored = `${directory}-restored`;
  {
    await using store = await open(directory);
    await store.apply([
      { ...commitOf(1), body: await bodyFile(directory, 1, "in a file") },
      commitOf(2, { envelopes: [{}, {}] }),
    ]);
    // Mail comes and goes meanwhile; removed body files must not be missing in the backup.
    let isOver = false;
    const traffic = (async () => {
      // oxlint-disable-next-line no-unmodified-loop-condition -- modified when the backup is done
      for (let n = 10; !isOver; n++) {
        await store.apply([{ ...commitOf(n), body: await bodyFile(directory, n, `passing ${n}`) }]);
        await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(n), 1) }]);
      }
    })();
    const { messages, bytes } = await store.backup(backup);
    isOver = true;
    await traffic;
    assert.ok(messages === 2 || messages === 3);
    assert.ok(bytes > 4096);
    await rejectsWith("USAGE", store.backup(backup));
    // Afterwards body files go again.
    await until(() => readdirSync(`${directory}/bodies/00`).length <= 1);
  }
  assert.throws(() => restore(directory, restored), { code: "USAGE", message: /backup\.json/ });
  restore(backup, restored);
  assert.throws(() => restore(backup, restored), { code: "USAGE", message: /not empty/ });
  await using store = await open(restored);
  assert.equal((await store.envelopes([1, 2].map((n) => envelopeIdOf(messageIdOf(2), n)))).length, 2);
  const body = await store.body(messageIdOf(1));
  assert.equal(body?.kind === "file" && readFileSync(`${restored}/bodies/${body.name}`, "utf8"), "in a file");
});

spoolTest("a damaged backup is not restored", async (directory) => {
  const backup = `${directory}-backup`;
  {
    await using store = await open(directory);
    await store.apply([{ ...commitOf(1), body: await bodyFile(directory, 1, "in a file") }]);
    await store.backup(backup);
  }
  rmSync(`${backup}/bodies/${bodyFileName(messageIdOf(1))}`);
  assert.throws(() => restore(backup, `${directory}-restored`), { code: "USAGE", message: /bodies\/.* is missing$/ });
  assert.ok(!existsSync(`${directory}-restored/queue.db`));
});

spoolTest("content that the queue has lost keeps nothing else from being saved, and is told", async (directory) => {
  const backup = `${directory}-backup`;
  const restored = `${directory}-restored`;
  const lost = { count: 2, messages: [messageIdOf(1), messageIdOf(2)] };
  {
    await using store = await open(directory);
    for (const n of [1, 2, 3])
      await store.apply([{ ...commitOf(n), body: await bodyFile(directory, n, `content ${n}`) }]);
    rmSync(`${directory}/bodies/${bodyFileName(messageIdOf(1))}`);
    truncateSync(`${directory}/bodies/${bodyFileName(messageIdOf(2))}`, 4);
    const { messages, lost: told } = await store.backup(backup);
    assert.deepEqual([messages, told], [3, lost]);
  }
  const third = bodyFileName(messageIdOf(3));
  renameSync(`${backup}/bodies/${third}`, `${backup}/aside`);
  assert.throws(() => restore(backup, `${directory}-half`), { code: "USAGE", message: /is missing$/ });
  renameSync(`${backup}/aside`, `${backup}/bodies/${third}`);
  assert.deepEqual(readdirSync(`${directory}-half`), [], "whoever tries again finds it empty");
  assert.deepEqual(restore(backup, restored).lost, lost);
  rmSync(`${backup}/bodies/${bodyFileName(messageIdOf(2))}`);
  for (const n of [1, 2]) writeFileSync(`${backup}/bodies/${bodyFileName(messageIdOf(n))}`, `content ${n}`);
  assert.deepEqual(restore(backup, `${directory}-mended`).lost, { count: 0, messages: [] });
  assert.equal(readFileSync(`${restored}/bodies/${third}`, "utf8"), "content 3");
  await using store = await open(restored);
  assert.equal((await store.envelopes([1, 2, 3].map((n) => envelopeIdOf(messageIdOf(n), 1)))).length, 3);
});

spoolTest(
  "a disk that does not answer within the deadline fails the store, and every waiting call with it",
  async (directory) => {
    const names: string[] = [];
    const store = await openStore({
      directory,
      settings: queueSettings.parse({ commitDeadline: "1s" }),
      clock: systemClock,
      emit: (event) => void names.push(event.name),
    });
    // A foreign writer that holds the database: the disk does not answer, as far as the store can tell.
    const foreign = new DatabaseSync(`${directory}/queue.db`);
    foreign.exec("BEGIN IMMEDIATE");
    const waiting = store.apply([commitOf(1)]);
    await rejectsWith("SPOOL_FAILED", waiting);
    await rejectsWith("SPOOL_FAILED", store.apply([commitOf(2)]));
    await rejectsWith("SPOOL_FAILED", store.message(messageIdOf(1)));
    foreign.close();
    await store[Symbol.asyncDispose]();
    assert.ok(names.includes("queue.store-failed"));
  },
);

test("files of somebody else, as a single server started by root leaves them, are told with what to do", () => {
  const thrown = Object.assign(new Error("EACCES: permission denied, open '/state/queue/owner'"), { code: "EACCES" });
  const { code, message, advice } = storeError(thrown, "cannot open the queue in /state/queue");
  assert.equal(code, "SPOOL_FAILED");
  assert.match(message, /\/state\/queue\/owner/);
  assert.match(advice, /belong to somebody else .*chown -R USER/);
});

spoolTest("a page of a long list that is asked for late shows what has changed meanwhile", async (directory) => {
  await using store = await open(directory);
  for (let n = 1; n <= 2500; n += 500) await store.apply(Array.from({ length: 500 }, (_, at) => commitOf(n + at)));
  const first = await store.page({});
  assert.equal(first.count, 1000);
  // The reader has read the next one by now, as for somebody who asks at once.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1500), 1) }]);
  const second = await store.page({}, first.next);
  assert.ok(!second.envelopes.includes(envelopeIdOf(messageIdOf(1500), 1)));
  // And two lists that take turns do not get each other's pages.
  const of = { state: "held" } as const;
  assert.equal((await store.page(of, second.next)).count, 0);
  assert.equal(second.count + (await store.page({}, second.next)).count, 1499);
  const listed = (await store.list({})).map((row) => row.envelope);
  assert.deepEqual([listed.length, new Set(listed).size], [2499, 2499]);
});

spoolTest("who stops reading a long queue leaves the reader as it was", async (directory) => {
  await using store = await open(directory);
  for (let n = 1; n <= 5000; n += 500) await store.apply(Array.from({ length: 500 }, (_, at) => commitOf(n + at)));
  for await (const portion of store.load()) {
    assert.ok(portion.length > 0);
    break;
  }
  const loaded = new Set<string>();
  for await (const portion of store.load()) for (const { id } of portion) loaded.add(id);
  assert.equal(loaded.size, 5000);
});
