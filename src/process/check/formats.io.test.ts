import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { openGreylistStore } from "../../mail/envelope/restrictions/greylist-store.io.ts";
import { openDmarcStore } from "../../mail/filter/authentication/dmarc-store.io.ts";
import { JournalQuery } from "../../mail/log/journal-query.io.ts";
import { JournalDatabase } from "../../mail/log/journal-worker.io.ts";
import { queueSettings } from "../../mail/queue/settings.ts";
import { openStore } from "../../mail/queue/store.io.ts";
import { checkFormats } from "./formats.ts";
import { foldersOf, type Folders } from "../folders.ts";

const WEEK_MS = 7 * 86_400_000;

function journalAt(path: string): JournalDatabase {
  return new JournalDatabase({
    path,
    retentionMs: WEEK_MS,
    mostBytes: 1e9,
    inputRetentionMs: WEEK_MS,
    mostInputBytes: 1e9,
  });
}

/** Every database of the state directory: where it is, and how it is opened and closed by its owner. */
const databases: readonly {
  readonly name: string;
  readonly file: (folders: Folders) => string;
  readonly use: (file: string) => Promise<void>;
}[] = [
  {
    name: "the queue",
    file: ({ queue }) => join(queue, "queue.db"),
    async use(file) {
      const settings = queueSettings.parse({});
      await using _store = await openStore({ directory: dirname(file), settings, clock: systemClock });
    },
  },
  { name: "the journal", file: ({ journalFile }) => journalFile, use: async (file) => journalAt(file).close() },
  {
    name: "the greylist",
    file: ({ greylistFile }) => greylistFile,
    use: async (file) => openGreylistStore(file, systemClock).close(),
  },
  {
    name: "DMARC's observations",
    file: ({ dmarcFile }) => dmarcFile,
    use: async (file) => openDmarcStore(file, systemClock).close(),
  },
];

for (const { name, file, use } of databases) {
  test(`${name} of a newer format stops the start, and whoever opens it all the same, and is not changed`, async (t) => {
    const state = mkdtempSync(join(tmpdir(), "posthorn-formats-"));
    t.after(() => rmSync(state, { recursive: true }));
    const folders = foldersOf(state);
    checkFormats(folders);
    const path = file(folders);
    mkdirSync(dirname(path), { recursive: true });
    await use(path);
    checkFormats(folders);
    const database = new DatabaseSync(path);
    const known = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
    assert.ok(known > 0, "it says its format");
    database.exec(`PRAGMA user_version = ${known + 1}`);
    database.close();
    const before = readFileSync(path);
    const says = new RegExp(`^${path} has format ${known + 1}; this Posthorn knows .* in formats up to ${known}$`);
    assert.throws(() => checkFormats(folders), { code: "STORE_VERSION", message: says });
    await assert.rejects(use(path), { code: "STORE_VERSION", message: says });
    assert.deepEqual(readFileSync(path), before);
  });
}

test("a journal and a greylist from before formats were marked are read on, and marked", (t) => {
  const state = mkdtempSync(join(tmpdir(), "posthorn-formats-"));
  t.after(() => rmSync(state, { recursive: true }));
  const { journalFile, memory, greylistFile } = foldersOf(state);
  journalAt(journalFile).close();
  mkdirSync(memory);
  const greylist = openGreylistStore(greylistFile, systemClock);
  greylist.allow("192.0.2.0/24");
  greylist.close();
  for (const [file, format] of [
    [journalFile, 1],
    [greylistFile, 0],
  ] as const) {
    const database = new DatabaseSync(file);
    database.exec(`PRAGMA application_id = 0; PRAGMA user_version = ${format}`);
    database.close();
  }
  journalAt(journalFile).close();
  const query = new JournalQuery(journalFile);
  assert.deepEqual(query.sql("SELECT count(*) FROM events").rows, [[0]]);
  query.close();
  const again = openGreylistStore(greylistFile, systemClock);
  assert.equal(again.list({}).length, 1);
  again.close();
  for (const file of [journalFile, greylistFile]) assert.notEqual(readFileSync(file).readUInt32BE(68), 0);
});
