import assert from "node:assert/strict";
import { test } from "node:test";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const CONTENT = "Subject: about tea\r\nMessage-ID: <tea@here.test>\r\n\r\nthe body of the letter\r\n";

/** One transaction, each line as it is given; fails unless everything is accepted. */
async function transact(port: number, mail: string, ...recipients: readonly string[]): Promise<void> {
  const client = await smtpConnect(port);
  try {
    await client.reply();
    for (const line of ["EHLO client.test", `MAIL FROM:${mail}`, ...recipients.map((one) => `RCPT TO:${one}`), "DATA"])
      assert.match(await client.say(line), /^[23]/, line);
    client.send(`${CONTENT}.\r\n`);
    assert.match(await client.reply(), /^250 /);
  } finally {
    client.close();
  }
}

const rules = (port: number): string => `actions: { out: { relay: { to: "smtp://127.0.0.1:${port}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`;

function noticeAbout(notices: readonly string[], recipient: string): string {
  const found = notices.find((text) => text.includes(`Final-Recipient: rfc822; ${recipient}\n`));
  assert.ok(found !== undefined, `a notice about ${recipient} among:\n${notices.join("\n")}`);
  return found;
}

for (const layout of LAYOUTS) {
  test(`${layout}: mail that waits is told of once, and given back when its time is over, with what the host said`, async () => {
    await using host = await startScriptedHost({
      answer: (line) => (/^RCPT TO:<(?:slow|never|failures)@/.test(line) ? "451 4.7.1 come again" : undefined),
    });
    await using server = await startServer({
      layout,
      settings: `${rules(host.port)}scheduler:
  expire-after: 1m
  warn-after: 3s
  retry: { relay: { by: list, waits: [4s] }, spread: 0 }
`,
    });
    await transact(
      server.ports.smtp,
      "<writer@localhost> RET=HDRS ENVID=tea+2B1",
      "<slow@there.test> ORCPT=rfc822;Slow+2BOne@there.test",
      "<never@there.test> NOTIFY=NEVER",
      "<failures@there.test> NOTIFY=FAILURE",
    );
    const [warning = ""] = await server.waitForMails("writer", 1);
    assert.match(warning, /^Return-Path: <>\n/);
    assert.match(warning, /^Subject: Your message is delayed$/m);
    assert.match(warning, /^Original-Envelope-Id: tea\+1$/m);
    assert.match(warning, /^Original-Recipient: rfc822; ?Slow\+One@there\.test$/m);
    assert.match(warning, /^Final-Recipient: rfc822; slow@there\.test$/m);
    assert.match(warning, /^Action: delayed$/m);
    assert.match(warning, /^Status: 4\.7\.1$/m);
    assert.match(warning, /^Diagnostic-Code: smtp; 451 4\.7\.1 come again$/m);
    assert.match(warning, /^Will-Retry-Until: /m);
    assert.doesNotMatch(warning, /never@|failures@/);

    // Both whose time is over come back together: one message, one notice.
    const notices = await server.waitForMails("writer", 2, 80_000);
    const bounce = noticeAbout(
      notices.filter((text) => text.includes("Action: failed")),
      "slow@there.test",
    );
    assert.match(bounce, /^Final-Recipient: rfc822; failures@there\.test$/m);
    assert.match(bounce, /^Subject: Your message could not be delivered$/m);
    assert.match(bounce, /^Status: 5\.4\.7$/m);
    assert.match(bounce, /^Diagnostic-Code: smtp; 451 4\.7\.1 come again$/m);
    assert.match(bounce, /tried for 1m and has given up/);
    assert.equal(bounce.match(/> 451 4\.7\.1 come again/g)?.length, 2, "the host's words once for each recipient");
    // RET=HDRS: the header comes back, the letter does not.
    assert.match(bounce, /^Subject: about tea$/m);
    assert.doesNotMatch(bounce, /the body of the letter/);
    await server.waitForOutput(/status=expired, returned to sender/);
    await server.waitForOutput(/to=<never@there\.test>, .*status=bounced/);
    assert.equal(server.mailsOf("writer").length, 2);
    assert.equal(server.mailsOf("writer").filter((text) => text.includes("never@")).length, 0);
    assert.match((await server.posthorn("queue", "list")).stdout, /^(?!.*never@there\.test)/s);
  });

  test(`${layout}: success is told where it was asked for, as delivered or relayed; a host that speaks DSN takes that over`, async () => {
    await using plain = await startScriptedHost();
    await using speaking = await startScriptedHost({ extensions: ["PIPELINING", "DSN"] });
    await using server = await startServer({
      layout,
      settings: `actions:
  plain: { relay: { to: "smtp://127.0.0.1:${plain.port}" } }
  speaking: { relay: { to: "smtp://127.0.0.1:${speaking.port}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { for: plain.test, from: local }, action: plain }
  - { match: { for: speaking.test, from: local }, action: speaking }
`,
    });
    await transact(
      server.ports.smtp,
      "<writer@localhost> RET=FULL ENVID=e1",
      "<ada@localhost> NOTIFY=SUCCESS,FAILURE",
      "<bob@localhost>",
      "<x@plain.test> NOTIFY=SUCCESS ORCPT=rfc822;y@plain.test",
      "<z@speaking.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;w+2Bv@speaking.test",
      "<q@speaking.test>",
    );
    const notices = await server.waitForMails("writer", 2);
    const delivered = noticeAbout(notices, "ada@localhost");
    assert.match(delivered, /^Action: delivered$/m);
    assert.match(delivered, /^Status: 2\.\d\.\d$/m);
    const relayed = noticeAbout(notices, "x@plain.test");
    assert.match(relayed, /^Action: relayed$/m);
    assert.match(relayed, /^Original-Recipient: rfc822; ?y@plain\.test$/m);
    assert.doesNotMatch(relayed, /the body of the letter/);

    await speaking.waitForMails(1);
    const lines = speaking.sessions.flatMap((session) => session.lines);
    assert.ok(
      lines.some((line) => /^MAIL FROM:<writer@localhost>.* RET=FULL ENVID=e1/.test(line)),
      lines.join("\n"),
    );
    assert.ok(
      lines.some((line) => line === "RCPT TO:<z@speaking.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;w+2Bv@speaking.test"),
      lines.join("\n"),
    );
    // Nobody asked anything about this one, and nobody invents it; where it was first meant for may be told.
    assert.ok(lines.some((line) => /^RCPT TO:<q@speaking\.test>(?: ORCPT=rfc822;q@speaking\.test)?$/.test(line)));
    const sent = plain.sessions.flatMap((session) => session.lines);
    assert.ok(
      sent.every((line) => !/NOTIFY|ORCPT|RET=|ENVID/.test(line)),
      sent.join("\n"),
    );
    await server.waitForOutput(/to=<q@speaking\.test>, .*status=sent/);
    assert.equal(server.mailsOf("writer").length, 2);
  });

  test(`${layout}: a notice that nobody takes is kept as dead, counted and shown, and can be tried again or taken out`, async () => {
    let isWelcome = false;
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") && !isWelcome ? "550 5.1.1 nobody here" : undefined),
    });
    await using server = await startServer({ layout, settings: rules(host.port) });
    await transact(server.ports.smtp, "<>", "<gone@there.test>", "<left@there.test>");
    await server.waitForOutput(/from=<>, to=<gone@there\.test>: .*kept as dead/);
    await server.waitForOutput(/from=<>, to=<left@there\.test>: .*kept as dead/);
    const listed = await server.posthorn("queue", "list", "--state", "dead");
    assert.equal(listed.status, 0, listed.stderr);
    assert.match(listed.stdout, /gone@there\.test/);
    assert.match(listed.stdout, /left@there\.test/);
    const status = await server.posthorn("status");
    assert.match(status.stdout, /2 dead|dead:? +2/i, status.stdout);
    const counted = await server.posthorn("queue", "count");
    assert.match(counted.stdout, /there\.test/, counted.stdout);

    const id = /^(\S+)\s.*gone@there\.test/m.exec(listed.stdout)?.[1] ?? "";
    const shown = await server.posthorn("queue", "show", id);
    assert.match(shown.stdout, /550 5\.1\.1 nobody here/, shown.stdout);
    isWelcome = true;
    const retried = await server.posthorn("queue", "retry", id);
    assert.equal(retried.status, 0, retried.stderr + retried.stdout);
    const [mail] = await host.waitForMails(1);
    assert.deepEqual(mail?.recipients, ["gone@there.test"]);
    const removed = await server.posthorn("queue", "remove", "--sender", "<>");
    assert.equal(removed.status, 0, removed.stderr);
    assert.doesNotMatch((await server.posthorn("queue", "list")).stdout, /there\.test/);
  });

  test(`${layout}: where the settings say so, postmaster is told of a notice that nobody takes`, async () => {
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") ? "550 5.1.1 nobody here" : undefined),
    });
    await using server = await startServer({
      layout,
      settings: `${rules(host.port)}scheduler: { dead-letters: { to: postmaster } }
`,
    });
    await transact(server.ports.smtp, "<>", "<gone@there.test>");
    const [told = ""] = await server.waitForMails("postmaster", 1);
    assert.match(told, /^Return-Path: <>\n/);
    assert.match(told, /^Final-Recipient: rfc822; gone@there\.test$/m);
    assert.match(told, /550 5\.1\.1 nobody here/);
    assert.match(told, /the body of the letter/);
    assert.match((await server.posthorn("queue", "list")).stdout, /^(?!.*gone@there\.test)/s);
  });

  test(`${layout}: mail that is refused and whose sender nobody has here is kept as dead, and why is shown`, async () => {
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") ? "550 5.1.1 nobody here" : undefined),
    });
    await using server = await startServer({
      layout,
      settings: `${rules(host.port)}local: { users: [writer] }
`,
    });
    await transact(server.ports.smtp, "<noreply@localhost>", "<gone@there.test>", "<never@there.test> NOTIFY=NEVER");
    await server.waitForOutput(/from=<noreply@localhost>, to=<gone@there\.test>: .*kept as dead: .*no such user here/);
    const listed = await server.posthorn("queue", "list", "--state", "dead");
    assert.match(
      listed.stdout,
      /gone@there\.test.* 550 5\.1\.1 nobody here.*no way to <noreply@localhost>: no such user/,
    );
    assert.doesNotMatch(listed.stdout, /never@there\.test/);
    const id = /^(\S+)\s.*gone@there\.test/m.exec(listed.stdout)?.[1] ?? "";
    const shown = await server.posthorn("queue", "show", id);
    assert.match(
      shown.stdout,
      /neither be delivered nor returned \(there is no way to <noreply@localhost>/,
      shown.stdout,
    );
  });

  test(`${layout}: postmaster of a domain that is not this host's name is told, by his alias, and once where that fails`, async () => {
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") ? "550 5.1.1 nobody here" : undefined),
    });
    await using server = await startServer({
      layout,
      settings: `${rules(host.port)}local: { domains: [example.test], users: [jane], aliases: table:aliases }
tables: { aliases: { map: { postmaster: "root, far@there.test", root: jane } } }
scheduler: { dead-letters: { to: postmaster } }
`,
    });
    await transact(server.ports.smtp, "<>", "<gone@there.test>");
    const [told = ""] = await server.waitForMails("jane", 1);
    assert.match(told, /^To: <postmaster@example\.test>$/m);
    assert.match(told, /^Final-Recipient: rfc822; gone@there\.test$/m);
    assert.match(told, /write to postmaster@example\.test/);
    await server.waitForOutput(/from=<>, to=<far@there\.test>: .*kept as dead/);
    assert.match((await server.posthorn("queue", "list")).stdout, /dead .*far@there\.test/);
    assert.equal(server.output().match(/: postmaster non-delivery notification: /g)?.length, 1);
  });
}
