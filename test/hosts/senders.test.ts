import assert from "node:assert/strict";
import { test } from "node:test";
import { startScriptedHost } from "../scripted-host.ts";
import { startServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

const CONTENT = "From: Ann <ann@pc.posthorn.test>\r\nSubject: tea\r\nMessage-ID: <1@x>\r\nDate: x\r\n\r\nhello\r\n";

const SETTINGS = (port: number): string => `srs: {}
verp: { clients: local }
masquerade: { domains: [machine.test], listeners: [smtp] }
local:
  domains: [posthorn.test]
  users: [ann]
  aliases: table:aliases
tables:
  aliases: { map: { dora: dora@elsewhere.test, both: "ann, carl@elsewhere.test" } }
actions:
  out: { relay: { to: "smtp://127.0.0.1:${port}" } }
  robot: { relay: { to: "smtp://127.0.0.1:${port}" }, as: robot@posthorn.test }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local, mail-from: "@machine.test" }, action: robot }
  - { match: { from: local }, action: out }
`;

test("senders of forwarded mail, of actions and of lists, on the wire and in notices", async (t) => {
  await using host = await startScriptedHost({
    answer: (line) => (line.startsWith("RCPT TO:<dora@") ? "550 5.1.1 no dora here" : undefined),
  });
  await using server = await startServer({ settings: SETTINGS(host.port) });
  const { smtp } = server.ports;

  await t.test("forwarded mail leaves with a sender of ours; its bounce finds the first sender", async () => {
    assert.match(await sendMail(smtp, { from: "al@far.test", to: "both@posthorn.test", content: CONTENT }), /^250 /);
    const [forwarded] = await host.waitForMails(1);
    const address = /^MAIL FROM:<(SRS0=....=..=far\.test=al@mx\.posthorn\.test)>/.exec(forwarded?.mail ?? "")?.[1];
    assert.ok(address !== undefined, forwarded?.mail);
    assert.deepEqual(forwarded?.recipients, ["carl@elsewhere.test"]);
    // Her own mailbox is no forward.
    const [kept = ""] = await server.waitForMails("ann", 1);
    assert.match(kept, /^Return-Path: <al@far\.test>\n/);

    const content = "Subject: no\r\n\r\nno such user\r\n";
    assert.match(await sendMail(smtp, { from: "", to: address, content }), /^250 /);
    const [, returned] = await host.waitForMails(2);
    assert.match(returned?.mail ?? "", /^MAIL FROM:<>/);
    assert.deepEqual(returned?.recipients, ["al@far.test"]);
    const forged = await sendMail(smtp, { from: "", to: address.replace("=al@", "=eve@"), content });
    assert.match(forged, /^550 5\.1\.1 this return address was not made here/);
  });

  await t.test("a failure of it is told to the first sender, not to the address that stands for him", async () => {
    await sendMail(smtp, { from: "al@far.test", to: "dora@posthorn.test", content: CONTENT });
    const notice = (await host.waitForMails(3))[2];
    assert.match(notice?.mail ?? "", /^MAIL FROM:<>/);
    assert.deepEqual(notice?.recipients, ["al@far.test"]);
    assert.match(notice?.content ?? "", /no dora here/);
  });

  await t.test("`as` changes MAIL FROM and no header field", async () => {
    await sendMail(smtp, { from: "job@machine.test", to: "x@there.test", content: CONTENT });
    const mail = (await host.waitForMails(4))[3];
    assert.match(mail?.mail ?? "", /^MAIL FROM:<robot@posthorn\.test>/);
    assert.match(mail?.content ?? "", /^From: Ann <ann@pc\.posthorn\.test>\r$/m);
  });

  await t.test("names of hosts are hidden in header and sender, before the rules look", async () => {
    const content =
      "From: Job <job@box.machine.test>\r\nSubject: from job@box.machine.test\r\n\r\nFrom: x@y.machine.test\r\n";
    await sendMail(smtp, { from: "job@box.machine.test", to: "x@there.test", content });
    const mail = (await host.waitForMails(5))[4];
    assert.match(mail?.mail ?? "", /^MAIL FROM:<robot@posthorn\.test>/);
    assert.match(
      mail?.content ?? "",
      /^From: Job <job@machine\.test>\r\nSubject: from job@box\.machine\.test\r\n\r\nFrom: x@y\.machine\.test\r$/m,
    );
  });

  await t.test("with XVERP each recipient has a sender and a transaction of its own", async () => {
    const client = await smtpConnect(smtp);
    await client.reply();
    assert.match(await client.say("EHLO client.test"), /XVERP/);
    const recipients = ["one@there.test", "two@there.test", "three@other.test"];
    for (const line of ["MAIL FROM:<list@posthorn.test> XVERP", ...recipients.map((to) => `RCPT TO:<${to}>`), "DATA"])
      assert.match(await client.say(line), /^[23]/, line);
    client.send(`${CONTENT}.\r\n`);
    assert.match(await client.reply(), /^250 /);
    client.close();
    const mails = (await host.waitForMails(8)).slice(5);
    assert.deepEqual(
      mails.map(({ mail, recipients: to }) => `${/<(.*?)>/.exec(mail)?.[1]} ${to.join()}`).sort(),
      recipients.map((to) => `list+${to.replace("@", "=")}@posthorn.test ${to}`).sort(),
    );

    const place = `127.0.0.1:${smtp}`;
    const asked = await server.posthorn(
      "send",
      "-XV",
      "-f",
      "list@posthorn.test",
      "--server",
      place,
      "four@there.test",
    );
    assert.equal(asked.status, 0, asked.stderr);
    assert.match((await host.waitForMails(9))[8]?.mail ?? "", /^MAIL FROM:<list\+four=there\.test@posthorn\.test>/);
  });
});
