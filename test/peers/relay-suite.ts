import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { Layout } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { differenceOf, eightBitContents, isOf, message, sevenBitContents, type Content } from "./contents.ts";
import { readWithMutt } from "./mutt.ts";
import { copiesOf, startPair, type RelayPeer } from "./pair.ts";
import { requirePeer } from "./peer.ts";
import { parseWithPython, readWithPython, sendWithPython } from "./python.ts";
import { swaks } from "./swaks.ts";

function assertSame(differences: readonly (string | undefined)[]): void {
  assert.deepEqual(
    differences.filter((difference) => difference !== undefined),
    [],
  );
}

/** What every SMTP peer must show, in both directions. Each file of test/interop runs it for its peer. */
export function relaySuite(plan: RelayPeer, layout: Layout = "single"): void {
  test(`${layout}: mail through Posthorn and ${plan.name}`, async (t) => {
    await using pair = await startPair(plan, t, layout);
    if (pair === undefined) return;
    const { server, peer, python } = pair;
    const { domain } = plan;
    const outbox = (): readonly string[] => peer.mails();
    const inbox = (user: string) => () => server.mailsOf(user);
    const send = async (at: number, from: string, to: readonly string[], content: Content): Promise<void> => {
      const { status, output } = await swaks(pair.swaks, { at, from, to, content });
      assert.equal(status, 0, output);
    };

    for (const [user, how] of [
      ["plain", "without TLS"],
      ["usual", "with TLS because it is offered"],
    ] as const)
      await t.test(`content goes from swaks to ${plan.name} byte for byte, ${how}`, async () => {
        const contents = [...sevenBitContents(), ...eightBitContents()];
        for (const content of contents)
          await send(server.ports.smtp, "writer@posthorn.test", [`${user}@${domain}`], content);
        const differences: (string | undefined)[] = [];
        for (const content of contents) {
          const [mail = ""] = await copiesOf(content, outbox, pair);
          // In the peer's own words in its Received field.
          const isEncrypted = /TLS/.test(mail.slice(0, mail.indexOf("\n\n")));
          assert.equal(isEncrypted, user === "usual" && plan.breaksTls !== true, mail.slice(0, 600));
          differences.push(differenceOf(mail, plan.changes?.[content.name]?.(content) ?? content));
        }
        assertSame(differences);
      });

    await t.test("content that ends within a line arrives with that line ended, and nothing else", async () => {
      for (const user of ["plain", "usual"]) {
        const content = message("no line end", ".first\r\n.last");
        const client = await smtpConnect(server.ports.smtp);
        await client.reply();
        for (const line of ["EHLO test", "MAIL FROM:<writer@posthorn.test>", `RCPT TO:<${user}@${domain}>`])
          assert.match(await client.say(line), /^250/);
        client.send(Buffer.concat([Buffer.from(`BDAT ${content.bytes.length} LAST\r\n`), content.bytes]));
        assert.match(await client.reply(), /^250 /);
        client.close();
        const [mail = ""] = await copiesOf(content, outbox, pair);
        assertSame([differenceOf(mail, { ...content, bytes: Buffer.concat([content.bytes, Buffer.from("\r\n")]) })]);
      }
    });

    await t.test(`the certificate of ${plan.name} is verified when that is asked for`, async () => {
      const content = message("verified", "x\r\n");
      await send(server.ports.smtp, "writer@posthorn.test", [`verified@${domain}`], content);
      if (plan.breaksTls === true) {
        await server.waitForOutput(/to=<verified@\S+>, .*dsn=4\.7\.\d+, status=deferred \(.*handshake failed/);
        return;
      }
      const [mail = ""] = await copiesOf(content, outbox, pair);
      assert.match(mail, /TLS/);
    });

    await t.test("several recipients go in one transaction, and each has the mail", async () => {
      const content = message("several", "x\r\n");
      const to = ["ann", "ben", "cid", "dot", "eve"].map((user) => `${user}@${domain}`);
      await send(server.ports.smtp, "writer@posthorn.test", to, content);
      await copiesOf(content, outbox, pair, to.length);
      const attempts = await Promise.all(
        to.map((recipient) => server.waitForOutput(new RegExp(`to=<${recipient}>, .*status=sent (\\(250.*\\))\n`))),
      );
      // The same words for all: one end of data was answered, not five.
      assert.equal(new Set(attempts.map((attempt) => attempt[1])).size, 1, attempts.map(String).join());
    });

    await t.test("the null sender stays the null sender", async () => {
      const content = message("null sender", "x\r\n");
      await send(server.ports.smtp, "", [`ann@${domain}`], content);
      const [mail = ""] = await copiesOf(content, outbox, pair);
      // Some write an empty Return-Path, some none.
      assert.doesNotMatch(mail, /^Return-path: <[^>]/im);
    });

    await t.test("addresses and header fields beyond ASCII", async () => {
      const header =
        "From: Jürgen <jürgen@posthorn.test>\r\nTo: grüße@posthorn.test\r\nSubject: Köln\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n";
      const content = {
        name: "SMTPUTF8",
        bytes: Buffer.from(`${header}Message-ID: <utf8.${process.pid}.${plan.name}@contents.test>\r\n\r\ngrün\r\n`),
      };
      const sent = await sendWithPython(python, {
        port: server.ports.smtp,
        from: "jürgen@posthorn.test",
        to: [`grüße@${domain}`],
        content: content.bytes,
        mail: ["SMTPUTF8", "BODY=8BITMIME"],
      });
      assert.deepEqual(sent, { refused: {} });
      if (plan.hasSmtpUtf8) {
        const [mail = ""] = await copiesOf(content, outbox, pair);
        assertSame([differenceOf(mail, content)]);
        return;
      }
      if (plan.breaksTls === true) {
        // It might offer it with TLS, which may work again.
        await server.waitForOutput(/to=<grüße@\S+>, .*dsn=4\.6\.7, status=deferred \(.*does not offer SMTPUTF8/);
        return;
      }
      const [bounce = ""] = await server.waitForMails("jürgen", 1);
      const read = await parseWithPython(python, bounce);
      assert.equal(read.reportType, "delivery-status");
      assert.equal(read.parts[1]?.blocks[1]?.["status"], "5.6.7");
      assert.deepEqual(read.defects, []);
    });

    await t.test(`a bounce made by Posthorn is taken by ${plan.name} and is what RFC 3464 asks for`, async () => {
      const content = message("refused", "a line of it\r\n");
      const to = [`ann@${domain}`, `nobody@${domain}`];
      await send(server.ports.smtp, `sender@${domain}`, to, content);
      const untilAt = Date.now() + 60_000;
      let bounce: string | undefined;
      while (bounce === undefined) {
        assert.ok(Date.now() < untilAt, `no bounce came:\n${server.output().slice(-4000)}\n${peer.log().slice(-4000)}`);
        await wait(50);
        bounce = peer.mails().find((mail) => /^From: .*mailer-daemon/im.test(mail));
      }
      assert.doesNotMatch(bounce, /^Return-path: <[^>]/im);
      const read = await parseWithPython(python, bounce);
      assert.equal(read.type, "multipart/report");
      assert.equal(read.reportType, "delivery-status");
      assert.deepEqual(read.defects, []);
      const [text, status, returned] = read.parts;
      assert.match(text?.text ?? "", new RegExp(`nobody@${domain}`));
      assert.equal(status?.type, "message/delivery-status");
      const [, ...recipients] = status.blocks;
      assert.equal(recipients.length, 1);
      assert.equal(recipients[0]?.["final-recipient"], `rfc822; nobody@${domain}`);
      assert.equal(recipients[0]?.["action"], "failed");
      assert.match(recipients[0]?.["status"] ?? "", /^5\.\d+\.\d+$/);
      assert.match(recipients[0]?.["diagnostic-code"] ?? "", /^smtp; 5\d\d /);
      assert.match(recipients[0]?.["remote-mta"] ?? "", /^dns; /);
      assert.match(returned?.text ?? "", /a line of it/);
    });

    await t.test(`a sender who asks for it is told that ${plan.name} delivered the mail`, async () => {
      const content = message("success", "x\r\n");
      const sent = await sendWithPython(python, {
        port: server.ports.smtp,
        from: "teller@posthorn.test",
        to: [`ann@${domain}`],
        content: content.bytes,
        mail: ["RET=HDRS", "ENVID=id+2Bof+20it"],
        rcpt: ["NOTIFY=SUCCESS,FAILURE", `ORCPT=rfc822;ann+2Bx@${domain}`],
      });
      assert.deepEqual(sent, { refused: {} });
      const [notice = ""] = await server.waitForMails("teller", 1);
      const read = await parseWithPython(python, notice);
      if (plan.notices === "plain text") {
        assert.match(notice, /successfully delivered/);
        return;
      }
      assert.equal(read.reportType, "delivery-status", notice);
      const [about, recipient] = read.parts[1]?.blocks ?? [];
      assert.match(recipient?.["action"] ?? "", /^(?:delivered|relayed)/, notice);
      assert.match(recipient?.["status"] ?? "", /^2\./);
      // RFC 3461 section 4: what travels as xtext is written out in the notice.
      const [envelopeId, original] =
        plan.notices === "undecoded" ? ["id+2Bof+20it", `ann+2Bx@${domain}`] : ["id+of it", `ann+x@${domain}`];
      assert.equal(about?.["original-envelope-id"], envelopeId);
      assert.equal(recipient?.["original-recipient"]?.replace("; ", ";"), `rfc822;${original}`);
    });

    await t.test(
      `content goes from swaks through ${plan.name} into a Maildir byte for byte, as python and mutt read it`,
      async (t2) => {
        const contents = [...sevenBitContents(), ...eightBitContents()];
        for (const content of contents)
          await send(Number(peer.at), `writer@${domain}`, ["reader@posthorn.test"], content);
        for (const content of contents) await copiesOf(content, inbox("reader"), pair);
        const box = join(server.folder, "data", "mail", "reader", "Maildir");
        const read = await readWithPython(python, "maildir", box);
        assert.equal(read.length, contents.length);
        const expected = contents.map((content) => plan.changes?.[content.name]?.(content) ?? content);
        const compare = (mails: readonly string[]): readonly (string | undefined)[] =>
          contents.map((content, at) =>
            differenceOf(mails.find((mail) => isOf(mail, content)) ?? "", expected[at] ?? content),
          );
        assertSame(compare(read.map((mail) => mail.raw)));
        const mutt = requirePeer("mutt", t2);
        if (mutt === undefined) return;
        const seen = await readWithMutt(mutt, box);
        assert.equal(seen.length, contents.length);
        assertSame(compare(seen));
      },
    );

    await t.test(
      `${plan.name} passes on several recipients, refusals and the null sender through Posthorn`,
      async () => {
        const content = message("through", "x\r\n");
        await send(Number(peer.at), "", ["fay@posthorn.test", "gus@posthorn.test"], content);
        for (const user of ["fay", "gus"]) {
          const [mail = ""] = await copiesOf(content, inbox(user), pair);
          assert.match(mail, /^Return-Path: <>\n/);
          assertSame([differenceOf(mail, content)]);
        }
      },
    );

    await t.test(`${plan.name} and Posthorn keep their sessions clean`, async () => {
      const bad = server.output().match(/.*posthorn\/\S+: (?:error|fatal|panic).*/g);
      assert.equal(bad, null, bad?.join("\n"));
      assert.equal(await server.stop(), 0, server.output());
      const usedBdat = plan.bdatInLog === undefined ? false : plan.bdatInLog.test(peer.log());
      assert.equal(usedBdat, plan.bdatInLog !== undefined, peer.log());
    });
  });
}
