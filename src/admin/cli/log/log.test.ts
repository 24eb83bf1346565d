import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { PosthornError } from "../../../foundation/error.ts";
import { JOURNAL_SCHEMA } from "../../../mail/log/journal.ts";
import { MESSAGE, NOON, posthorn } from "../../../testing/command-world.ts";
import { systemWorld } from "../world.io.ts";

test("a story comes from the server, or from the journal itself when no server runs", async () => {
  const from = { role: "server", pid: 7, startedAt: 0 };
  const record = { at: NOON, name: "queue.removed", level: "info" as const, from, fields: { message: MESSAGE } };
  const entries = [{ id: 1, record }];
  const online = await posthorn(["log", MESSAGE.toLowerCase()], { answers: { "log.story": entries } });
  assert.equal(online.out, `2026-11-21 12:00:00 posthorn/qmgr[7]: ${MESSAGE}: removed\n`);
  assert.deepEqual(online.asked[0]?.slice(0, 2), ["query", "log.story"]);
  const unreachable = new PosthornError("CONTROL_UNREACHABLE", { message: "no server", advice: "start it" });
  const world = {
    connectControl: () => Promise.reject(unreachable),
    openJournal: () => ({
      story: () => entries,
      tls: () => {
        throw new Error("not asked");
      },
      sql: () => ({ columns: [], rows: [], isCut: false }),
      inputs: () => [],
      [Symbol.dispose]() {},
    }),
  };
  assert.equal((await posthorn(["log", "--to", "a@b.example"], { world })).out, online.out);
  // The user of the server's processes may read the file, but is told only of own mail.
  const refused = new PosthornError("CONTROL_REFUSED", { message: "own mail only", advice: "use root" });
  const { openJournal } = world;
  const answers = { "log.story": refused };
  assert.equal((await posthorn(["log", MESSAGE], { answers, world: { openJournal } })).out, online.out);
  const neither = await posthorn(["log", MESSAGE], { answers });
  assert.deepEqual([neither.code, neither.err], [77, "own mail only\nuse root\n"]);
});

test(
  "plain SQL over a journal that this user may not read exits with 77",
  { skip: process.getuid?.() !== 0 },
  async () => {
    const { openJournal } = systemWorld({} as never);
    const directory = mkdtempSync(join(tmpdir(), "posthorn-log-"));
    const file = join(directory, "journal.db");
    new DatabaseSync(file).exec(JOURNAL_SCHEMA);
    chmodSync(file, 0o600);
    chmodSync(directory, 0o711);
    const ask = (path: string) =>
      posthorn(["log", "--sql", "SELECT 1 AS one"], { world: { openJournal: () => openJournal(path) } });
    process.seteuid?.(65_534);
    try {
      const refused = await ask(file);
      assert.equal(refused.code, 77);
      assert.match(refused.err, /this user may not read the journal .*journal\.db/);
      assert.equal((await ask(join(directory, "missing.db"))).code, 75);
    } finally {
      process.seteuid?.(0);
      rmSync(directory, { recursive: true });
    }
  },
);
