import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Comparison } from "../../src/admin/cli/settings/policy-world.ts";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const SETTINGS = `
local: { domains: [example.test], users: [joe, ann] }
actions: { keep: { relay: { to: "smtp://192.0.2.40" } } }
rules:
  - { match: { rcpt-to: "joe@example.test" }, action: keep }
  - { match: { for: local }, action: deliver }
`;

test(
  "a server's own journal and queue are what other settings are compared by, and its settings hold their cases",
  { timeout: 240_000 },
  async () => {
    await using server = await startServer({ settings: SETTINGS, readyWithinMs: 90_000 });
    assert.equal((await server.posthorn("suspend", "domain", "example.test")).status, 0);
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    assert.match(await client.say("EHLO client.test"), /^250/);
    assert.match(await client.say("MAIL FROM:<a@client.test>"), /^250/);
    for (const user of ["joe", "ann"]) assert.match(await client.say(`RCPT TO:<${user}@example.test>`), /^250/);
    assert.match(await client.say("RCPT TO:<x@elsewhere.test>"), /^5/);
    assert.match(await client.say("DATA"), /^354/);
    assert.match(await client.say("Subject: hello\r\n\r\nHello.\r\n."), /^250/);
    client.close();

    const file = join(server.folder, "posthorn.yaml");
    const now = readFileSync(file, "utf8");
    const old = join(server.folder, "old.yaml");
    writeFileSync(old, now.replace("users: [joe, ann]", "users: [joe]").replace("192.0.2.40", "192.0.2.41"));
    const comparison = await untilTold(async () => {
      const { status, stdout, stderr } = await server.posthorn("check", "--compare", old, "--json");
      assert.equal(status, 0, stderr);
      // What the command says of itself.
      return JSON.parse(stdout) as Comparison;
    });
    assert.equal(comparison.sessions, 3);
    assert.ok(comparison.hasQueue);
    const [ofSessions, ofQueue] = ["sessions", "queue"].map((of) => comparison.changes.filter((one) => one.of === of));
    assert.deepEqual(
      ofSessions?.map(({ count, before, after }) => [count, before.slice(0, 10), after.slice(0, 10)]),
      [[1, "reject at ", "accept by "]],
    );
    assert.match(
      ofSessions?.[0]?.examples[0] ?? "",
      /client=localhost\[127\.0\.0\.1\] from=<a@client\.test> to=<ann@example\.test>/,
    );
    assert.deepEqual(
      ofQueue?.map(({ count, before }) => [count, /192\.0\.2\.\d+/.exec(before)?.[0]]),
      [[1, "192.0.2.41"]],
    );

    writeFileSync(
      join(server.folder, "cases.yaml"),
      "- { to: joe@example.test, expect: { action: keep } }\n- { to: ann@example.test, expect: { action: relay } }\n",
    );
    const tested = await server.posthorn("test");
    assert.equal(tested.status, 1, tested.stderr);
    assert.match(
      tested.stdout,
      /^ok {4}.*cases\.yaml:1:3 .*\nFAIL {2}.*cases\.yaml:2:3 .*\n {8}action: expected relay, found deliver\n2 cases, 1 failed; tried with .*\n$/,
    );
  },
);

/** The journal is written behind the mail. */
async function untilTold(look: () => Promise<Comparison>): Promise<Comparison> {
  for (;;) {
    const found = await look();
    if (found.sessions >= 3) return found;
  }
}
