/**
 * Filters in the whole server, in both layouts: what one of them changes arrives, large bodies included; what it puts aside can
 * be looked at, let go and thrown away; a reload brings other filters; one that fails loses no mail.
 */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

/** What a mail's subject asks for happens to it. */
const HOOKS = `
export default {
  async onMessage(mail) {
    const subject = mail.header("Subject") ?? "";
    if (subject.includes("virus")) return { effect: "quarantine", because: "a virus" };
    if (subject.includes("junk")) return { effect: "discard" };
    if (subject.includes("refuse")) return { effect: "refuse", reply: { code: 550, status: "5.7.1", lines: ["Not this"] } };
    if (subject.includes("throw")) throw new Error("it broke");
    return [{ effect: "add-header", name: "X-Seen", value: "SEEN" }];
  },
};
`;

const settings = (name: string): string => `
filters:
  hooks: { module: ./${name}.ts }
filteredBy: [hooks]
rules:
  - { match: { for: local }, action: deliver }
`;

async function start(layout: Layout): Promise<TestServer> {
  const server = await startServer({
    layout,
    settings: "rules: [{ match: { for: local }, action: deliver }]",
    readyWithinMs: 90_000,
  });
  writeFileSync(join(server.folder, "first.ts"), HOOKS);
  writeFileSync(join(server.folder, "second.ts"), HOOKS.replace("SEEN", "AGAIN"));
  server.rewrite({ settings: settings("first") });
  const reloaded = await server.posthorn("reload");
  assert.equal(reloaded.status, 0, reloaded.stderr);
  return server;
}

async function send(server: TestServer, subject: string, body = "hello"): Promise<string> {
  const client = await smtpConnect(server.ports.smtp);
  await client.reply();
  await client.say("EHLO me.example");
  await client.say("MAIL FROM:<a@b.example>");
  await client.say("RCPT TO:<jo@localhost>");
  await client.say("DATA");
  client.send(`Subject: ${subject}\r\n\r\n${body}\r\n.\r\n`);
  const said = await client.reply();
  client.close();
  return said;
}

for (const layout of LAYOUTS) {
  test(`${layout}: a filter's changes arrive, quarantine waits for a person, and a reload brings other filters`, async () => {
    await using server = await start(layout);
    assert.match(await send(server, "small"), /^250/);
    // Beyond what the queue keeps inside its database.
    const large = `${"0123456789".repeat(7)}\r\n`.repeat(20_000);
    assert.match(await send(server, "large", large.trimEnd()), /^250/);
    const mails = await server.waitForMails("jo", 2);
    for (const mail of mails) assert.match(mail, /^X-Seen: SEEN\r?$/m);
    assert.ok(mails.some((mail) => mail.replaceAll("\r", "").includes(large.trimEnd().replaceAll("\r", ""))));

    assert.match(await send(server, "refuse this"), /^550 5\.7\.1 Not this/);
    assert.match(await send(server, "throw"), /^451 4\.7\.1/);
    assert.match(await send(server, "junk"), /^250/);
    await server.waitForOutput(/discard: from=<a@b\.example>/);
    assert.match(await send(server, "virus one", large.trimEnd()), /^250/);
    assert.match(await send(server, "virus two"), /^250/);
    await server.waitForOutput(/quarantine: from=<.*>, to=<.*>, filter=<hooks>: a virus/);

    const listed = await server.posthorn("quarantine", "list", "--json");
    const rows = listed.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { message: string; sizeBytes: number });
    assert.equal(rows.length, 2);
    const [small = rows[0], big = rows[1]] = rows.toSorted((a, b) => a.sizeBytes - b.sizeBytes);
    assert.equal((await server.posthorn("queue", "release", "--all")).status, 1);
    assert.equal((await server.posthorn("quarantine", "remove", small?.message ?? "")).status, 0);
    const released = await server.posthorn("quarantine", "release", big?.message ?? "");
    assert.equal(released.status, 0, released.stderr);
    await server.waitForMails("jo", 3);
    assert.equal((await server.posthorn("quarantine", "list")).status, 1);

    server.rewrite({ settings: settings("second") });
    assert.equal((await server.posthorn("reload")).status, 0);
    assert.match(await send(server, "after the reload"), /^250/);
    const all = await server.waitForMails("jo", 4);
    assert.ok(all.some((mail) => mail.includes("X-Seen: AGAIN")));
    await shownUp(server);
    assert.equal(await server.stop(), 0);
    assert.deepEqual(bodiesIn(server), []);
  });
}

/** Processes tell how their filters do from time to time. */
async function shownUp(server: TestServer): Promise<void> {
  for (let at = 0; at < 120; at++) {
    const { stdout } = await server.posthorn("show", "filters");
    if (/^up +hooks +[1-9]/m.test(stdout)) return;
    await wait(500);
  }
  assert.fail("the filter is never shown as up");
}

/** What is left of body files once all mail is delivered. */
function bodiesIn(server: TestServer): readonly string[] {
  const bodies = join(server.folder, "data", "queue", "bodies");
  return readdirSync(bodies, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

test("settings that name a filter which is nowhere are refused, with the nearest name", async () => {
  await using server = await startServer({ settings: "" });
  server.rewrite({ settings: "filters: { hooks: { module: ./first.ts } }\nfilteredBy: [hook]" });
  const checked = await server.posthorn("check");
  assert.notEqual(checked.status, 0);
  assert.match(checked.stdout + checked.stderr, /there is no filter hook; did you mean hooks\?/);
});
