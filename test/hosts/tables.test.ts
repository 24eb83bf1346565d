import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

test("a split server asks files, indexed files and databases, follows their changes, and shows how they do", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-tables-"));
  chmodSync(folder, 0o755);
  try {
    const aliases = join(folder, "aliases");
    const virtual = join(folder, "virtual");
    writeFileSync(aliases, "root: joe\n");
    writeFileSync(virtual, "sales@virtual.test: joe\n");
    const database = new DatabaseSync(join(folder, "mail.db"));
    database.exec("create table domain (name text primary key); insert into domain values ('virtual.test')");
    writeFileSync(join(folder, "words"), "/^x/ y\n");
    await using server = await startServer({
      layout: "split",
      settings: `
local:
  domains: [example.test]
  users: [joe]
  aliases: table:aliases
  virtual: [{ domains: "table:domains", aliases: "table:virtual" }]
tables:
  aliases: { aliases: ${aliases} }
  virtual: { cdb: ${virtual}.cdb }
  domains: { sqlite: { file: ${join(folder, "mail.db")}, queries: { domain: "select 1 from domain where name = :key" } } }
  words: { regexp: ${join(folder, "words")} }
`,
    });
    const reply = async (recipient: string): Promise<string> => {
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      await client.say("EHLO client.test");
      await client.say("MAIL FROM:<a@client.test>");
      const answer = await client.say(`RCPT TO:<${recipient}>`);
      client.close();
      return answer;
    };
    // The indexed file is not there yet: that is "come again", for this domain only.
    assert.match(await reply("sales@virtual.test"), /^451 /);
    assert.match(await reply("root@example.test"), /^250 /);
    assert.match(await reply("nobody@example.test"), /^550 5\.1\.1/);

    const made = await server.posthorn("newaliases");
    assert.equal(made.stdout, `${aliases}: 1 entry\n${virtual}.cdb: 1 entry\n`);
    await eventually(() => reply("sales@virtual.test"), /^250 /);
    assert.match(await reply("info@virtual.test"), /^550 /);

    writeFileSync(virtual, "sales@virtual.test: joe\ninfo@virtual.test: joe\n");
    writeFileSync(aliases, "root: joe\nadmin: joe\n");
    assert.equal((await server.posthorn("newaliases")).status, 0);
    await eventually(() => reply("info@virtual.test"), /^250 /);
    // Each of the receiving processes reads a text for itself.
    await steadily(() => reply("admin@example.test"), /^250 /);

    // A broken version of either changes nothing, and is told.
    writeFileSync(aliases, "root: joe\nadmin joe\n");
    writeFileSync(`${virtual}.cdb`, "no index");
    await eventually(() => reply("sales@virtual.test"), /^451 /);
    // It is looked at by who asks, once a second.
    await eventually(async () => {
      assert.match(await reply("admin@example.test"), /^250 /);
      return server.output();
    }, /aliases:2: expected a name.*the version before stays in force/);
    await eventually(async () => {
      assert.match(await reply("sales@virtual.test"), /^451 /);
      return server.output();
    }, /virtual\.cdb is no cdb file.*lookups fail until it is repaired/);
    const broken = await server.posthorn("newaliases");
    assert.equal(broken.status, 65);
    assert.match(broken.stderr, /aliases:2: expected a name, a colon and where its mail goes/);

    // The other file it has made anew all the same.
    await eventually(() => reply("sales@virtual.test"), /^250 /);
    const shown = (await server.posthorn("show", "tables", "--json")).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { table: string; kind: string; health: { state: string; queries: number } });
    assert.deepEqual(
      shown.map(({ table, kind, health }) => `${table} ${kind} ${health.state} ${health.queries > 0}`),
      ["aliases aliases down false", "virtual cdb up true", "domains sqlite up true", "words regexp up false"],
    );
    database.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Twenty times in a row, over at least two seconds: whoever answers has looked at the file since. */
async function steadily(ask: () => Promise<string>, expected: RegExp): Promise<void> {
  let inRow = 0;
  for (let turn = 0; turn < 600 && inRow < 20; turn++) {
    inRow = expected.test(await ask()) ? inRow + 1 : 0;
    await wait(100);
  }
  assert.equal(inRow, 20);
}

async function eventually(ask: () => Promise<string>, expected: RegExp): Promise<void> {
  let answer = "";
  for (let turn = 0; turn < 600; turn++) {
    answer = await ask();
    if (expected.test(answer)) return;
    await wait(100);
  }
  assert.match(answer, expected);
}
