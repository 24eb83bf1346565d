/** The lookup process of a split server: what it is asked, what its absence means, and what a reload does. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

function settings(file: string, more = ""): string {
  return `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 1, egress: 1 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, auth: offer, auth-without-tls: loopback }
accounts:
  backends: [ { table: "table:people" } ]
local: { domains: [example.org], users: "table:users" }
tables:
  people: { map: { ada: "{PLAIN}sesame" } }
  users:
    sqlite:
      file: ${file}
      queries: { string: "select :key from users where name = :key" }
${more}`;
}

async function replies(server: TestServer, ...lines: readonly string[]): Promise<readonly string[]> {
  const client = await smtpConnect(server.ports.smtp);
  try {
    await client.reply();
    const heard: string[] = [];
    for (const line of lines) heard.push((await client.say(line)).split("\n").at(-1)?.slice(0, 9) ?? "");
    return heard;
  } finally {
    client.close();
  }
}

const login = (password: string): string => `AUTH PLAIN ${Buffer.from(`\0ada\0${password}`).toString("base64")}`;
const mail = ["EHLO x", "MAIL FROM:<a@b.example>"] as const;

test("a lookup process that is gone is a temporary failure for logins and recipients, until it is back", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-lookup-"));
  chmodSync(folder, 0o755);
  const file = join(folder, "users.db");
  const database = new DatabaseSync(file);
  database.exec("create table users (name text primary key); insert into users values ('joe@example.org'), ('joe')");
  chmodSync(file, 0o644);
  await using server = await startServer({
    layout: "split",
    wholeSettings: settings(file),
  });
  try {
    assert.deepEqual(
      await replies(server, ...mail, "RCPT TO:<joe@example.org>", "RCPT TO:<eve@example.org>"),
      ["250 MT-PR", "250 2.1.0", "250 2.1.5", "550 5.1.1"],
      server.output(),
    );
    const before = server.workers().get("lookup-1");
    assert.ok(before);
    assert.deepEqual(await replies(server, "EHLO x", login("sesame")), ["250 MT-PR", "235 2.7.0"], server.output());
    assert.deepEqual(await replies(server, "EHLO x", login("open")), ["250 MT-PR", "535 5.7.8"], server.output());
    const status = readFileSync(`/proc/${before}/status`, "utf8");
    if (process.getuid?.() === 0) assert.doesNotMatch(status, /^Uid:\t0\t/m, "it is nobody in particular");

    // It stays away longer each time: on a slow machine the first times may be over before anybody has asked.
    const whileAway = async (ask: () => Promise<readonly string[]>, expected: readonly string[]): Promise<void> => {
      for (let kills = 0; ; kills++) {
        const lookup = server.workers().get("lookup-1");
        if (lookup !== undefined) process.kill(lookup, "SIGKILL");
        await wait(150);
        const got = await ask();
        if (got.join() === expected.join()) return;
        assert.ok(kills < 8, `${got.join()}\n${server.output()}`);
      }
    };
    await whileAway(
      () => replies(server, ...mail, "RCPT TO:<joe@example.org>", "RCPT TO:<eve@example.org>"),
      ["250 MT-PR", "250 2.1.0", "451 4.3.0", "451 4.3.0"],
    );
    await whileAway(() => replies(server, "EHLO x", login("sesame")), ["250 MT-PR", "454 4.7.0"]);
    await server.waitForOutput(/process lookup-1 pid \d+ ended: signal SIGKILL/);
    for (let tries = 0; ; tries++) {
      const [, , known] = await replies(server, ...mail, "RCPT TO:<joe@example.org>");
      if (known === "250 2.1.5") break;
      assert.ok(tries < 600, server.output());
      await wait(100);
    }

    database.exec("insert into users values ('eve@example.org'), ('eve')");
    server.rewrite({ wholeSettings: settings(file, "  more: { list: [x] }\n") });
    assert.equal((await server.posthorn("reload")).status, 0, server.output());
    assert.deepEqual(await replies(server, ...mail, "RCPT TO:<eve@example.org>"), [
      "250 MT-PR",
      "250 2.1.0",
      "250 2.1.5",
    ]);
    const deadline = Date.now() + 60_000;
    while (server.workers().has("lookup-1") && Date.now() < deadline) await wait(50);
    assert.deepEqual(
      [...server.workers().keys()].filter((name) => name.startsWith("lookup")),
      ["lookup-2"],
      "the one of earlier settings has left",
    );
  } finally {
    database.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
