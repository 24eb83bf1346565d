/** What clients that have logged in may send as, and how much; with the lookup process counting for all of reception. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const SETTINGS = `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 2, egress: 1 }
listeners:
  - name: submission
    address: 127.0.0.1
    port: {submission}
    protocol: submission
    auth-without-tls: loopback
    sender-rights: { table: "table:senders" }
accounts:
  backends: [ { table: "table:people" } ]
  limits: { recipients: 5/h, table: "table:limits" }
local: { domains: [posthorn.test] }
tables:
  people: { map: { ada: "{PLAIN}sesame", bob: "{PLAIN}sesame" } }
  senders: { map: { info@posthorn.test: "ada" } }
  limits: { map: { bob: "messages=1/h" } }
`;

/** The codes of what the server says to each of the lines; content between DATA and the dot is one of them. */
async function dialogue(server: TestServer, account: string, ...lines: readonly string[]): Promise<readonly string[]> {
  const client = await smtpConnect(server.ports.submission);
  try {
    await client.reply();
    await client.say("EHLO x");
    const login = await client.say(`AUTH PLAIN ${Buffer.from(`\0${account}\0sesame`).toString("base64")}`);
    assert.match(login, /^235 /);
    const heard: string[] = [];
    for (const line of lines) heard.push((await client.say(line)).slice(0, 9));
    return heard;
  } finally {
    client.close();
  }
}

const content = (from: string): string => `${from}Subject: x\r\n\r\nx\r\n.`;
const send = (sender: string, from: string, to = "bob@posthorn.test"): readonly string[] => [
  `MAIL FROM:<${sender}>`,
  `RCPT TO:<${to}>`,
  "DATA",
  content(from),
];

test("a logged-in client sends as itself, as much as it may", async (t) => {
  await using server = await startServer({ layout: "split", wholeSettings: SETTINGS });

  await t.test(
    "its own addresses are taken, in envelope and header; others are refused and nothing of them is kept",
    async () => {
      const taken = ["250 2.1.0", "250 2.1.5", "354 End d", "250 2.0.0"];
      assert.deepEqual(
        await dialogue(server, "ada", ...send("info@posthorn.test", "From: ada@posthorn.test\r\n")),
        taken,
      );
      assert.deepEqual(await dialogue(server, "ada", "MAIL FROM:<bob@posthorn.test>", "RCPT TO:<bob@posthorn.test>"), [
        "250 2.1.0",
        "553 5.7.1",
      ]);
      assert.deepEqual(
        await dialogue(
          server,
          "ada",
          ...send("ada@posthorn.test", "From: Bob <bob@posthorn.test>\r\n"),
          // The session goes on.
          ...send("ada@posthorn.test", ""),
        ),
        ["250 2.1.0", "250 2.1.5", "354 End d", "553 5.7.1", ...taken],
      );
      const mails = await server.waitForMails("bob", 2);
      assert.equal(mails.length, 2);
      await server.waitForOutput(/reject: .*From address refused: not owned by ada/);
    },
  );

  await t.test("BURL is no command here and not offered", async () => {
    assert.deepEqual(await dialogue(server, "ada", "MAIL FROM:<ada@posthorn.test>", "BURL imap://x/y LAST", "RSET"), [
      "250 2.1.0",
      "500 5.5.1",
      "250 2.0.0",
    ]);
    const client = await smtpConnect(server.ports.submission);
    await client.reply();
    assert.doesNotMatch(await client.say("EHLO x"), /BURL/);
    client.close();
  });

  await t.test("limits hold over all sessions and processes, are shown, and can be cleared", async () => {
    const codes: string[] = [];
    // Three are spent already: two that were delivered, and one whose header was refused.
    for (let n = 0; n < 4; n++)
      codes.push(
        (await dialogue(server, "ada", "MAIL FROM:<ada@posthorn.test>", "RCPT TO:<x@posthorn.test>"))[1] ?? "",
      );
    assert.deepEqual(codes, ["250 2.1.5", "250 2.1.5", "450 4.7.1", "450 4.7.1"]);
    assert.deepEqual(await dialogue(server, "bob", ...send("bob@posthorn.test", "").slice(0, 2)), [
      "250 2.1.0",
      "250 2.1.5",
    ]);
    assert.deepEqual(await dialogue(server, "bob", ...send("bob@posthorn.test", "").slice(0, 2)), [
      "250 2.1.0",
      "450 4.7.1",
    ]);
    const shown = await server.posthorn("show", "senders");
    assert.match(shown.stdout, /^ada +recipients +5 +5\/h +2 /m);
    assert.match(shown.stdout, /^bob +messages +1 +1\/h +1 /m);
    assert.equal((await server.posthorn("senders", "clear", "ada")).status, 0);
    assert.deepEqual(await dialogue(server, "ada", ...send("ada@posthorn.test", "").slice(0, 2)), [
      "250 2.1.0",
      "250 2.1.5",
    ]);
  });
});
