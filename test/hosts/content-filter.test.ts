import assert from "node:assert/strict";
import { connect, createServer, type Server } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { freePort, startServer, type TestServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

/** A filter that hands all bytes through to a listener and back, and notes what it was told. */
async function startPassing(port: number, to: number): Promise<{ heard(): string } & AsyncDisposable> {
  let heard = "";
  const server: Server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    near.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")));
    near.pipe(far);
    far.pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

interface Filtering extends AsyncDisposable {
  readonly server: TestServer;
  readonly heard: () => string;
}

/** `back`: where the filter hands mail to; `again` is the listener that it came from. */
async function start(
  options: {
    readonly more?: string;
    readonly ofLocal?: string;
    readonly ofReturn?: string;
    readonly back?: "filtered" | "again";
  } = {},
): Promise<Filtering> {
  const filterPort = await freePort();
  const returnPort = await freePort();
  const server = await startServer({
    readyWithinMs: 90_000,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: single }
content-filter: smtp://127.0.0.1:${filterPort}
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback] }
  - name: filtered
    address: 127.0.0.1
    port: ${returnPort}
    content-filter: none
    xforward-from: [loopback]
    ${options.ofReturn ?? "restrictions: [{ permit: [local] }, { reject: [any] }]"}
local: { domains: [example.org]${options.ofLocal ?? ""} }
${options.more ?? ""}
`,
  });
  const filter = await startPassing(filterPort, options.back === "again" ? server.ports.smtp : returnPort);
  return {
    server,
    heard: () => filter.heard(),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await filter[Symbol.asyncDispose]();
    },
  };
}

const MAIL = "Subject: hello\nMessage-ID: <1@stranger.example>\n\nHello.";

test("a list is filtered as one recipient, and expanded when it comes back; the filter hears who gave the mail", async () => {
  await using filtering = await start({
    ofLocal: ", aliases: table:aliases",
    more: "tables: { aliases: { map: { all: 'joe, jane' } } }",
  });
  const { server } = filtering;
  const client = await smtpConnect(server.ports.smtp);
  await client.reply();
  await client.say("XCLIENT NAME=mx.stranger.example ADDR=198.51.100.7 PORT=4711");
  for (const line of [
    "EHLO stranger.example",
    "MAIL FROM:<them@stranger.example>",
    "RCPT TO:<all@example.org>",
    "RCPT TO:<jim@example.org>",
  ])
    assert.match(await client.say(line), /^250/);
  assert.match(await client.say("RCPT TO:<them@elsewhere.example>"), /^5\d\d .*relaying denied/);
  await client.say("DATA");
  client.send("Subject: hello\r\n\r\nHello.\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  client.close();
  await server.waitForMails("joe", 1, 60_000);
  await server.waitForMails("jane", 1, 60_000);
  await server.waitForMails("jim", 1, 60_000);
  const heard = filtering.heard();
  assert.match(
    heard,
    /XFORWARD NAME=mx\.stranger\.example ADDR=198\.51\.100\.7 PORT=4711 PROTO=ESMTP HELO=stranger\.example IDENT=\w{11} SOURCE=REMOTE/,
  );
  assert.match(
    heard,
    /MAIL FROM:<them@stranger\.example>.*\r\nRCPT TO:<all@example\.org>.*\r\nRCPT TO:<jim@example\.org>/,
  );
  assert.equal(heard.match(/\r\nDATA\r\n/g)?.length, 1);
  await server.waitForOutput(/orig_client=mx\.stranger\.example\[198\.51\.100\.7\]/);
});

test("where the listener wants it, the first client is judged when the mail comes back", async () => {
  await using filtering = await start({
    ofReturn: "judge-forwarded: true\n    restrictions: [{ reject: [198.51.100.0/24] }]",
  });
  const { server } = filtering;
  const client = await smtpConnect(server.ports.smtp);
  await client.reply();
  await client.say("XCLIENT NAME=mx.stranger.example ADDR=198.51.100.7 PORT=4711");
  for (const line of [
    "EHLO stranger.example",
    "MAIL FROM:<them@stranger.example>",
    "RCPT TO:<joe@example.org>",
    "DATA",
  ])
    await client.say(line);
  client.send("Subject: hello\r\n\r\nHello.\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  client.close();
  await server.waitForOutput(/NOQUEUE: reject: RCPT from .*554 5\.7\.1/);
  await server.waitForOutput(/status=bounced .*554 5\.7\.1/);
});

test("a filter that hands mail back to where it came from does so once: the mail is returned, with the reason", async () => {
  await using filtering = await start({ back: "again" });
  const { server } = filtering;
  assert.match(
    await sendMail(server.ports.smtp, { from: "them@example.org", to: "joe@example.org", content: MAIL }),
    /^250 /,
  );
  await server.waitForOutput(/status=bounced .*554 5\.4\.6 .*Mail loop/);
  // Notices of ours go through no filter.
  const [notice = ""] = await server.waitForMails("them", 1, 60_000);
  assert.match(notice, /5\.4\.6/);
  assert.equal(filtering.heard().match(/\r\nDATA\r\n/g)?.length, 1);
});

test("mail for a listener's filter waits while that is away, and is shown with the reason", async () => {
  await using server = await startServer({
    readyWithinMs: 90_000,
    settings: "content-filter: smtp://127.0.0.1:1\nlocal: { domains: [example.org] }\n",
  });
  await sendMail(server.ports.smtp, { from: "them@stranger.example", to: "joe@example.org", content: MAIL });
  await server.waitForOutput(/to=<joe@example\.org>, relay=none, .*status=deferred .*refused/i);
  const { stdout } = await server.posthorn("queue", "list");
  assert.match(stdout, /joe@example\.org/);
  const explained = await server.posthorn("explain", "joe@example.org");
  assert.match(explained.stdout, /content-filter:/, explained.stdout + explained.stderr);
});
