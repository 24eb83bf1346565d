/** A whole server, split, whose recipients are in four databases at once: what clients hear while these come and go. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { TABLE_SUBJECTS } from "./database-subjects.ts";
import { hasPeer } from "./running.ts";

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

test("recipients in PostgreSQL, MariaDB, OpenLDAP and Redis, over verified TLS, asked by the lookup process", async (t) => {
  if (!TABLE_SUBJECTS.every(({ peer }) => hasPeer(peer, t))) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-databases-"));
  chmodSync(folder, 0o755);
  await using servers = new AsyncDisposableStack();
  const databases = await Promise.all(
    TABLE_SUBJECTS.map(async (subject) => {
      const database = servers.use(
        await subject.start([{ service: "alias", key: `sales@${subject.kind}.test`, value: "joe" }]),
      );
      // Only root may read it; the process that asks gets the password, not the file.
      const passwordFile = join(folder, subject.kind);
      writeFileSync(passwordFile, `${subject.password}\n`, { mode: 0o600 });
      const { password: _, ...options } = subject.options;
      const written = {
        ...options,
        hosts: `localhost:${subject.kind === "redis" ? database.port + 1 : database.port}`,
        tls: "verify",
        tlsCa: database.caFile,
        passwordFile,
        firstPause: "50ms",
        longestPause: "200ms",
      };
      const yaml = JSON.stringify(
        Object.fromEntries(Object.entries(written).map(([name, value]) => [kebab(name), value])),
      );
      return { kind: subject.kind, database, yaml };
    }),
  );
  try {
    await using server = await startServer({
      layout: "split",
      settings: `local:
  domains: [example.test]
  users: [joe]
  virtual:
${databases.map(({ kind }) => `    - { domains: [${kind}.test], aliases: "table:${kind}" }`).join("\n")}
tables:
${databases.map(({ kind, yaml }) => `  ${kind}: { ${kind}: ${yaml} }`).join("\n")}
`,
    });
    for (const { kind, database } of databases) {
      assert.match(await replyTo(server, `sales@${kind}.test`), /^250 /, `${kind}: ${server.output()}`);
      assert.match(await replyTo(server, `nobody@${kind}.test`), /^550 5\.1\.1/, kind);
      await database.kill();
      assert.match(await replyTo(server, `sales@${kind}.test`), /^451 /, kind);
      assert.match(await replyTo(server, `nobody@${kind}.test`), /^451 /, kind);
      await database.start();
      for (
        const untilAt = Date.now() + 60_000;
        !(await replyTo(server, `sales@${kind}.test`)).startsWith("250 ");
        await wait(50)
      )
        assert.ok(Date.now() < untilAt, `${kind}: ${server.output()}`);
      assert.match(await replyTo(server, `nobody@${kind}.test`), /^550 5\.1\.1/, kind);
    }
    const { stdout, status } = await server.posthorn("show", "tables");
    assert.equal(status, 0);
    for (const { kind } of databases) assert.match(stdout, new RegExp(`^up +${kind} `, "m"));
    const checked = await server.posthorn("check");
    assert.match(checked.stdout, /: the settings are fine\n$/);
    assert.doesNotMatch(checked.stderr, /tables\./);
    await databases[0]?.database.kill();
    const missing = await server.posthorn("check");
    assert.match(
      missing.stderr,
      /warning: tables\.postgres\.postgres\.hosts: postgres localhost:\d+: connect ECONNREFUSED/,
    );
    assert.equal(missing.status, 0);
    assert.doesNotMatch(server.output(), /readonly|secret/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function replyTo(server: TestServer, recipient: string): Promise<string> {
  const client = await smtpConnect(server.ports.smtp);
  try {
    await client.reply();
    await client.say("EHLO client.test");
    await client.say("MAIL FROM:<a@client.test>");
    return await client.say(`RCPT TO:<${recipient}>`);
  } finally {
    client.close();
  }
}
