import assert from "node:assert/strict";
import { test } from "node:test";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

for (const layout of LAYOUTS) {
  test(`${layout}: a mail for a local name arrives in that user's Maildir, with its trace`, async () => {
    await using server = await startServer({ layout });
    const reply = await sendMail(server.ports.smtp, {
      from: "sender@example.org",
      to: "ada@localhost",
      content: "Subject: hello\n\nfirst mail\n.a line with a dot",
    });
    assert.match(reply, /^250 2\.\d\.\d /);
    const [mail = ""] = await server.waitForMails("ada", 1);
    assert.match(mail, /^Return-Path: <sender@example\.org>\r?\n/);
    assert.match(mail, /^Received: from client\.test \(localhost \[127\.0\.0\.1\]\)/m);
    assert.match(mail, /\r?\n\r?\nfirst mail\r?\n\.a line with a dot\r?\n$/);
    await server.waitForOutput(/status=sent/);
    assert.equal(await server.stop(), 0);
  });

  test(`${layout}: a recipient elsewhere is refused to strangers on the public listener's terms, never relayed in silence`, async () => {
    await using server = await startServer({
      layout,
      settings: "rules:\n  - { match: { for: local }, action: deliver }\n",
    });
    const reply = await sendMail(server.ports.smtp, { from: "a@b.test", to: "x@elsewhere.test", content: "x" });
    assert.match(reply, /^550 5\.7\.1 /);
  });

  test(`${layout}: a stop lets a running transaction finish, refuses new connections, and loses nothing`, async () => {
    await using server = await startServer({ layout });
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    for (const line of ["EHLO client.test", "MAIL FROM:<a@example.org>", "RCPT TO:<ada@localhost>", "DATA"])
      await client.say(line);
    client.send("Subject: slow\r\n\r\nfirst half\r\n");
    const stopped = server.stop();
    await server.waitForOutput(/terminating/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await assert.rejects(smtpConnect(server.ports.smtp));
    client.send("second half\r\n.\r\n");
    assert.match(await client.reply(), /^250 /);
    await client.closed;
    assert.equal(await stopped, 0);

    await using again = await startServer({ layout, folder: server.folder, ports: server.ports });
    const [mail = ""] = await again.waitForMails("ada", 1);
    assert.match(mail, /first half\r?\nsecond half/);
  });
}
