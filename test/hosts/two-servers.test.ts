import assert from "node:assert/strict";
import { test } from "node:test";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

for (const layout of LAYOUTS) {
  test(`${layout}: mail goes from one server through another into a mailbox, in one transaction for its recipients`, async () => {
    await using receiver = await startServer({ layout, settings: "local: { domains: [there.test] }\n" });
    await using sender = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp://127.0.0.1:${receiver.ports.smtp}" } } }
rules: [ { match: { from: local }, action: out } ]
`,
    });
    const body = Array.from(
      { length: 3000 },
      (_, line) => `.line ${line} of a body that does not fit the database`,
    ).join("\n");
    const reply = await sendMail(sender.ports.smtp, {
      from: "a@here.test",
      to: ["ada@there.test", "bob@there.test"],
      content: `Subject: two\n\n${body}`,
    });
    assert.match(reply, /^250 /);
    for (const user of ["ada", "bob"]) {
      const [mail = ""] = await receiver.waitForMails(user, 1);
      assert.equal(mail.replaceAll("\r\n", "\n").split("\n\n").slice(1).join("\n\n").trimEnd(), body);
    }
    await sender.waitForOutput(/to=<ada@there\.test>, .*status=sent/);
    await sender.waitForOutput(/to=<bob@there\.test>, .*status=sent/);
    // In a split server the log comes a moment after what it tells of.
    await receiver.waitForOutput(/nrcpt=2/);
    const accepted = receiver.output().match(/nrcpt=2/g) ?? [];
    assert.equal(accepted.length, 1);
  });

  test(`${layout}: mail that the next host refuses for good comes back as a bounce that says why`, async () => {
    await using receiver = await startServer({ layout, settings: "local: { domains: [there.test], users: [ada] }\n" });
    await using sender = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp://127.0.0.1:${receiver.ports.smtp}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`,
    });
    await sendMail(sender.ports.smtp, {
      from: "writer@localhost",
      to: "nobody@there.test",
      content: "Subject: lost\n\nx",
    });
    const [bounce = ""] = await sender.waitForMails("writer", 1);
    assert.match(bounce, /^Return-Path: <>/);
    assert.match(bounce, /Content-Type: multipart\/report/i);
    assert.match(bounce, /Final-Recipient: rfc822; ?nobody@there\.test/i);
    assert.match(bounce, /Diagnostic-Code: smtp; ?550 5\.1\.1/i);
    await sender.waitForOutput(/status=bounced/);
  });

  test(`${layout}: mail for a host that is down waits, says why, and goes when the host is back and it is told to`, async () => {
    const receiver = await startServer({ layout, settings: "local: { domains: [there.test] }\n" });
    await receiver.kill();
    await using sender = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp://127.0.0.1:${receiver.ports.smtp}" } } }
rules: [ { match: { from: local }, action: out } ]
`,
    });
    await sendMail(sender.ports.smtp, { from: "a@here.test", to: "ada@there.test", content: "Subject: later\n\nx" });
    await sender.waitForOutput(/status=deferred \(.*[Cc]onnection refused/);
    const listed = await sender.posthorn("queue", "list");
    assert.equal(listed.status, 0, listed.stderr);
    assert.match(listed.stdout, /ada@there\.test/);
    await using back = await startServer({
      layout,
      folder: receiver.folder,
      ports: receiver.ports,
      settings: "local: { domains: [there.test] }\n",
    });
    const retried = await sender.posthorn("queue", "retry", "--all");
    assert.equal(retried.status, 0, retried.stderr);
    await back.waitForMails("ada", 1);
  });
}
