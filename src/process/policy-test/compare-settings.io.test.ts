import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { JOURNAL_SCHEMA } from "../../mail/log/journal.ts";
import { compareSettings } from "./compare-settings.ts";

const BEFORE = `
hostname: mx.example.org
local: { domains: [example.org], users: [bob, ann] }
actions: { slow: { relay: { to: "smtp://192.0.2.40" } } }
`;
const AFTER = `
hostname: mx.example.org
local: { domains: [example.org, example.net], users: [bob, ann] }
actions: { slow: { relay: { to: "smtp://192.0.2.41" } } }
restrictions:
  - reject: 198.51.100.0/24
    name: neighbours
`;

/** What the journal's columns are made of, and no more. */
function journal(
  path: string,
  events: readonly (readonly [name: string, fields: Readonly<Record<string, unknown>>])[],
): void {
  const database = new DatabaseSync(path);
  database.exec(JOURNAL_SCHEMA);
  database.exec("INSERT INTO process (id, role, pid, started_at) VALUES (1, 'ingress', 7, 1000)");
  for (const [at, [name, fields]] of events.entries()) {
    database.prepare("INSERT OR IGNORE INTO name (name, level) VALUES (?, 'info')").run(name);
    const { id } = database.prepare("SELECT id FROM name WHERE name = ?").get(name) ?? {};
    const when = 1_790_000_000_000 + at;
    database
      .prepare("INSERT INTO entry (id, at, name, process, session, fields) VALUES (?, ?, ?, 1, ?, ?)")
      .run(when * 1024, when, Number(id), String(fields["session"]), JSON.stringify(fields));
  }
  database.close();
}

function files(t: TestContext): { cwd: string; journalFile: string } {
  const cwd = mkdtempSync(join(tmpdir(), "posthorn-compare-"));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, "old.yaml"), BEFORE);
  writeFileSync(join(cwd, "posthorn.yaml"), AFTER);
  return { cwd, journalFile: join(cwd, "journal.db") };
}

test("what other settings would treat otherwise is told together, with examples, and the rest is not", async (t) => {
  const { cwd, journalFile } = files(t);
  const kept = { listener: "smtp", isEncrypted: false, helo: "client.example", from: "a@example.com" };
  journal(journalFile, [
    ["session.kept", { ...kept, session: "s1", client: "unknown[192.0.2.5]", to: ["bob@example.org"] }],
    [
      "session.kept",
      { ...kept, session: "s2", client: "c.example[198.51.100.9]", to: ["bob@example.org", "ann@example.org"] },
    ],
    [
      "session.rejected",
      {
        session: "s3",
        listener: "smtp",
        stage: "RCPT",
        client: "unknown[192.0.2.5]",
        from: "a@example.com",
        to: "bob@example.net",
        reply: "550",
        protocol: "ESMTP",
      },
    ],
    [
      "session.rejected",
      {
        session: "s4",
        listener: "smtp",
        stage: "CONNECT",
        client: "unknown[192.0.2.5]",
        reply: "554",
        protocol: "SMTP",
      },
    ],
    ["session.authenticated", { session: "s5", client: "unknown[192.0.2.5]", mechanism: "PLAIN", account: "ann" }],
    [
      "session.rejected",
      {
        session: "s5",
        listener: "submission",
        stage: "RCPT",
        client: "unknown[192.0.2.5]",
        from: "a@example.com",
        to: "x@elsewhere.example",
        reply: "450",
        protocol: "ESMTP",
      },
    ],
  ]);
  const comparison = await compareSettings({
    settingsFile: join(cwd, "posthorn.yaml"),
    old: "old.yaml",
    journal: journalFile,
    sinceAt: 0,
    most: 100,
    queued: [
      { envelope: "E1", sender: "a@example.com", recipient: "x@a.example", action: "slow" },
      { envelope: "E2", sender: "a@example.com", recipient: "x@b.example", action: "relay" },
    ],
    cwd,
  });
  assert.equal(comparison.sessions, 5);
  assert.equal(comparison.unclear, 1);
  assert.equal(comparison.queued, 2);
  const [neighbours, ...others] = comparison.changes;
  assert.equal(neighbours?.count, 2);
  assert.match(neighbours?.before ?? "", /^accept by default rule 1.*: deliver$/);
  assert.match(neighbours?.after ?? "", /^reject at rcpt: 554 5\.7\.1 .*\(neighbours\)$/);
  assert.match(
    neighbours?.examples.join() ?? "",
    /client=c\.example\[198\.51\.100\.9\] from=<a@example\.com> to=<bob@example\.org>/,
  );
  assert.deepEqual(
    new Map(others.map(({ of, count }) => [of, count])),
    new Map([
      ["queue", 1],
      ["sessions", 1],
    ]),
  );
  const opened = others.find(({ of }) => of === "sessions");
  assert.match(opened?.before ?? "", /^reject at rcpt: 550/);
  assert.match(opened?.after ?? "", /^accept by/);
  const queue = others.find(({ of }) => of === "queue");
  assert.match(queue?.before ?? "", /192\.0\.2\.40/);
  assert.match(queue?.after ?? "", /192\.0\.2\.41/);
});

test("the same settings treat everybody the same, and only those who came since then are looked at", async (t) => {
  const { cwd, journalFile } = files(t);
  const kept = {
    listener: "smtp",
    isEncrypted: true,
    helo: "c",
    from: "",
    client: "localhost[127.0.0.1]",
    to: ["bob@example.org"],
  };
  journal(journalFile, [
    ["session.kept", { ...kept, session: "s1" }],
    ["session.kept", { ...kept, session: "s2" }],
  ]);
  const request = {
    settingsFile: join(cwd, "old.yaml"),
    old: "old.yaml",
    journal: journalFile,
    most: 100,
    queued: undefined,
    cwd,
  };
  const all = await compareSettings({ ...request, sinceAt: 0 });
  assert.deepEqual([all.sessions, all.hasQueue, all.changes], [2, false, []]);
  assert.equal((await compareSettings({ ...request, sinceAt: 1_790_000_000_001 })).sessions, 1);
  await assert.rejects(compareSettings({ ...request, journal: "none.db", sinceAt: 0 }), { code: "USAGE" });
});
