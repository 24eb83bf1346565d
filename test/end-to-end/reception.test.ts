/** What reception promises, seen from outside, in one process and in many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";

/** Ports as the harness names them: `submission` is behind a proxy here, and `smtps` lets few in. */
function start(layout: Layout): Promise<TestServer> {
  return startServer({
    layout,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 1 }
local: { domains: [here.test, bücher.example] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: submission, auth: "off" }
  - { name: few, address: 127.0.0.1, port: {smtps}, limits: { connections: 2 } }
  - { name: lmtp, path: ./lmtp.sock, path-mode: "0666", protocol: lmtp, vrfy: answer }
  - name: proxied
    address: 127.0.0.1
    port: {submission}
    proxy-from: [loopback]
    reverse-dns: false
    limits: { exempt: [], connections-per-network: 3, message-rate: 2 }
`,
  });
}

/** The replies to a series of lines, after the greeting. */
async function says(client: TestClient, ...lines: readonly string[]): Promise<readonly string[]> {
  const replies: string[] = [];
  for (const line of lines) replies.push(await client.say(line));
  return replies;
}

async function proxied(server: TestServer, address: string): Promise<{ client: TestClient; greeting: string }> {
  const client = await smtpConnect(server.ports.submission);
  client.send(`PROXY TCP6 ${address} 2001:db8:ffff::1 4444 25\r\n`);
  return { client, greeting: await client.reply() };
}

/** So many connections in a row reach every process that takes them, or nearly. */
const IN_A_ROW = 12;

/** Whether all of so many answers in a row are like that. */
async function inARow(answer: () => Promise<string>, like: RegExp): Promise<boolean> {
  for (let count = 0; count < IN_A_ROW; count++) if (!like.test(await answer())) return false;
  return true;
}

/** The processes tell each other twenty times a second, when they get to it. */
async function untilToldEachOther(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const untilAt = Date.now() + 60_000; !(await holds()); await wait(50))
    assert.ok(Date.now() < untilAt, `they have not told each other: ${what}`);
}

for (const layout of LAYOUTS) {
  test(`${layout}: limits are those of the server, however many processes take connections`, async () => {
    await using server = await start(layout);
    const open = [await smtpConnect(server.ports.smtps), await smtpConnect(server.ports.smtps)];
    for (const client of open) assert.match(await client.reply(), /^220 /);
    const greeting = async (): Promise<string> => {
      const client = await smtpConnect(server.ports.smtps);
      const reply = await client.reply();
      client.close();
      return reply;
    };
    await untilToldEachOther("two are there", () => inARow(greeting, /^421 /));
    for (const client of open) client.close();
    await untilToldEachOther("both are gone", async () => (await greeting()).startsWith("220"));
  });

  test(`${layout}: a /64 is one client, whichever of its addresses the proxy names`, async () => {
    await using server = await start(layout);
    const open = [];
    for (let host = 1; host <= 3; host++) {
      const { client, greeting } = await proxied(server, `2001:db8::${host}`);
      assert.match(greeting, /^220 /);
      open.push(client);
    }
    const next = async (host: string): Promise<string> => {
      const { client, greeting } = await proxied(server, host);
      client.close();
      return greeting;
    };
    let last = 3;
    await untilToldEachOther("three are there", () => inARow(() => next(`2001:db8::${(last++ % 5000) + 4}`), /^421 /));
    const [one, two, three] = open;
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    assert.match((await says(one, "EHLO x", "MAIL FROM:<a@b.test>"))[1] ?? "", /^250 /);
    assert.match((await says(two, "EHLO x", "MAIL FROM:<a@b.test>"))[1] ?? "", /^250 /);
    await three.say("EHLO x");
    await untilToldEachOther("two mails have come", async () => {
      const [reply = ""] = await says(three, "MAIL FROM:<a@b.test>", "RSET");
      return reply.startsWith("450");
    });
    const elsewhere = await proxied(server, "2001:db8:0:1::1");
    assert.match(elsewhere.greeting, /^220 /);
    for (const client of [...open, elsewhere.client]) client.close();
  });

  test(`${layout}: mail that is to be held is delivered when its time has come, and not before`, async () => {
    await using server = await start(layout);
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    const [offer = ""] = await says(client, "EHLO x");
    assert.match(offer, /^250.FUTURERELEASE 604800 \d{4}-/m);
    await says(client, "MAIL FROM:<a@here.test> HOLDFOR=3", "RCPT TO:<ada@here.test>", "DATA");
    const sentAt = Date.now();
    client.send("Subject: later\r\n\r\n.\r\n");
    assert.match(await client.reply(), /^250 /);
    client.close();
    const [mail = ""] = await server.waitForMails("ada", 1);
    assert.ok(Date.now() - sentAt >= 2900, "too early");
    assert.match(mail, /^Message-ID: </m);
  });

  test(`${layout}: LMTP on a unix socket answers for each recipient, in U-labels and A-labels alike`, async () => {
    await using server = await start(layout);
    assert.match(server.output(), /lmtp=\S*\/lmtp\.sock/);
    const client = await smtpConnect(join(server.folder, "lmtp.sock"));
    assert.match(await client.reply(), /^220 .* LMTP/);
    const replies = await says(
      client,
      "EHLO x",
      "LHLO x",
      "VRFY ada@here.test",
      "MAIL FROM:<jö@b.test> SMTPUTF8",
      "RCPT TO:<ada@BÜCHER.example>",
      "RCPT TO:<eve@xn--bcher-kva.example>",
      "DATA",
    );
    assert.deepEqual(
      replies.map((reply) => reply.slice(0, 3)),
      ["500", "250", "250", "250", "250", "250", "354"],
    );
    client.send("Subject: x\r\n\r\n.\r\n");
    assert.match(await client.reply(), /^250 2\.0\.0 <ada@/);
    assert.match(await client.reply(), /^250 2\.0\.0 <eve@/);
    client.close();
    const [mail = ""] = await server.waitForMails("ada", 1);
    assert.match(mail, /\) with UTF8LMTP id /);
    await server.waitForMails("eve", 1);
  });

  test(`${layout}: without room MAIL is told to come again, and what is queued is delivered all the same`, async () => {
    await using server = await start(layout);
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    await says(client, "EHLO x", "MAIL FROM:<a@here.test> HOLDFOR=4", "RCPT TO:<ada@here.test>", "DATA");
    client.send("Subject: queued\r\n\r\n.\r\n");
    assert.match(await client.reply(), /^250 /);
    const file = join(server.folder, "posthorn.yaml");
    writeFileSync(file, `${readFileSync(file, "utf8")}queue: { min-free-bytes: 1000000GiB }\n`);
    const reloaded = await server.posthorn("reload");
    assert.equal(reloaded.status, 0, reloaded.stderr);
    // The session that was there keeps its settings; one that comes has the new ones.
    assert.match(await client.say("MAIL FROM:<a@here.test>"), /^250 /);
    client.close();
    const later = await smtpConnect(server.ports.smtp);
    await later.reply();
    assert.match((await says(later, "EHLO x", "MAIL FROM:<a@here.test>"))[1] ?? "", /^452 4\.3\.1 /);
    later.close();
    await server.waitForMails("ada", 1);
  });
}
