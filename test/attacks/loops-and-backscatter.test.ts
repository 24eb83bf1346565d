/**
 * Mail that goes round, and answers to strangers: two servers that send each other what they cannot deliver, a server that is
 * its own next host under another name, forwards in a circle; and mail with a forged sender, which must bring that sender nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startScriptedHost } from "../scripted-host.ts";
import { freePort, startServer, type TestServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

async function ports(): Promise<TestServer["ports"]> {
  return { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
}

/** Until nothing is under way on any of them. Gives how many are kept as dead: bounces that cannot be returned. */
async function untilQuiet(servers: readonly TestServer[], withinMs = 60_000): Promise<number> {
  const untilAt = performance.now() + withinMs;
  for (;;) {
    const states: string[] = [];
    for (const server of servers) {
      const { stdout } = await server.posthorn("queue", "list", "--json");
      for (const line of stdout.split("\n").filter(Boolean)) states.push((JSON.parse(line) as { state: string }).state);
    }
    if (states.every((state) => state === "dead")) return states.length;
    assert.ok(performance.now() < untilAt, `still queued: ${states.join()}`);
    await wait(500);
  }
}

const transactions = (server: TestServer): number => server.output().match(/nrcpt=\d+ \(queue active\)/g)?.length ?? 0;

// Who counts hops, and who may be answered, is decided in one place in every layout.
for (const layout of ["single"] as const) {
  test(
    `${layout}: two servers that hold each other for the place of a domain end after the hops, with one bounce`,
    { timeout: 240_000 },
    async () => {
      const [there, here] = [await ports(), await ports()];
      const to = (other: TestServer["ports"], local: string): string => `local: { domains: [${local}], users: [ann] }
session: { hops: 12 }
actions: { other: { relay: { to: "smtp://127.0.0.1:${other.smtp}" } } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: other }
`;
      await using first = await startServer({
        layout,
        ports: here,
        settings: to(there, "first.test"),
        readyWithinMs: 120_000,
      });
      await using second = await startServer({
        layout,
        ports: there,
        settings: to(here, "second.test"),
        readyWithinMs: 120_000,
      });
      // Each believes that the other knows nowhere.test, and that its bounces' way is through the other, too.
      const content = "Subject: round and round\n\nx";
      assert.match(await sendMail(first.ports.smtp, { from: "ann@first.test", to: "x@nowhere.test", content }), /^250/);
      assert.match(
        await sendMail(first.ports.smtp, { from: "nobody@forged.test", to: "x@nowhere.test", content }),
        /^250/,
      );
      assert.match(await sendMail(first.ports.smtp, { from: "", to: "x@nowhere.test", content }), /^250/);
      // The bounce to nobody and the mail without a sender are nobody's any more: kept, counted, shown, and answered by nothing.
      assert.equal(await untilQuiet([first, second]), 2);
      const [bounce = ""] = await first.waitForMails("ann", 1);
      assert.match(bounce, /5\.4\.6/);
      await wait(500);
      assert.equal(first.mailsOf("ann").length, 1);
      // Three mails of at most a dozen hops, and a bounce to nobody that goes as far and gets no answer.
      assert.ok(
        transactions(first) + transactions(second) < 5 * 14,
        `${transactions(first)} + ${transactions(second)}`,
      );
    },
  );

  test(
    `${layout}: aliases on two servers that forward to each other end, and tell the sender once`,
    { timeout: 240_000 },
    async () => {
      const [there, here] = [await ports(), await ports()];
      const to = (other: TestServer["ports"], own: string, alias: string): string => `session: { hops: 12 }
local: { domains: [${own}], users: [carol], aliases: "table:aliases" }
tables: { aliases: { map: { ${alias} } } }
actions: { other: { relay: { to: "smtp://127.0.0.1:${other.smtp}" } } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: other }
`;
      await using first = await startServer({
        layout,
        ports: here,
        settings: to(there, "first.test", "ann: bob@second.test"),
        readyWithinMs: 120_000,
      });
      await using second = await startServer({
        layout,
        ports: there,
        settings: to(here, "second.test", "bob: ann@first.test"),
        readyWithinMs: 120_000,
      });
      // As a program that answers by itself would write it, and as a bounce.
      const content = "Subject: I am away\nAuto-Submitted: auto-replied\n\nx";
      assert.match(
        await sendMail(first.ports.smtp, { from: "carol@first.test", to: "ann@first.test", content }),
        /^250/,
      );
      assert.match(await sendMail(first.ports.smtp, { from: "", to: "ann@first.test", content }), /^250/);
      const [bounce = ""] = await first.waitForMails("carol", 1, 60_000);
      assert.match(bounce, /5\.4\.6/);
      // What had no sender is nobody's.
      assert.ok((await untilQuiet([first, second])) <= 1);
      assert.equal(first.mailsOf("carol").length + second.mailsOf("carol").length, 1);
      assert.ok(
        transactions(first) + transactions(second) < 3 * 14,
        `${transactions(first)} + ${transactions(second)}`,
      );
    },
  );

  test(
    `${layout}: a server that is its own next host, under a name it does not know, finds the loop`,
    { timeout: 240_000 },
    async () => {
      const own = await ports();
      await using server = await startServer({
        layout,
        ports: own,
        readyWithinMs: 120_000,
        settings: `local: { domains: [posthorn.test], users: [ann] }
session: { hops: 12 }
actions: { round: { relay: { to: "smtp://localhost:${own.smtp}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: round } ]
`,
      });
      await sendMail(own.smtp, { from: "ann@posthorn.test", to: "x@other-name.test", content: "Subject: x\n\nx" });
      const [bounce = ""] = await server.waitForMails("ann", 1, 60_000);
      assert.match(bounce, /5\.4\.6/);
      assert.equal(await untilQuiet([server]), 0);
      assert.ok(transactions(server) <= 15, String(transactions(server)));
    },
  );

  test(
    `${layout}: forged senders get nothing back: recipients, content and relaying are refused while the client is there`,
    { timeout: 240_000 },
    async () => {
      await using victim = await startScriptedHost();
      await using server = await startServer({
        layout,
        readyWithinMs: 120_000,
        settings: `local: { domains: [posthorn.test], users: [ann], aliases: "table:aliases" }
tables: { aliases: { map: { a: b, b: c, c: a, self: self } } }
session: { message-size: 64KiB }
actions: { victim: { relay: { to: "smtp://127.0.0.1:${victim.port}" } } }
rules:
  - { match: { for: posthorn.test }, action: deliver }
  - { match: { from: local }, action: victim }
`,
      });
      const say = async (lines: readonly string[]): Promise<string> => {
        const client = await smtpConnect(server.ports.smtp);
        await client.reply();
        let last = "";
        for (const line of ["EHLO spammer.test", "MAIL FROM:<victim@victim.test>", ...lines])
          last = await client.say(line);
        client.close();
        return last;
      };
      assert.match(await say(["RCPT TO:<nobody@posthorn.test>"]), /^550/);
      assert.match(await say(["RCPT TO:<a@posthorn.test>"]), /^5/);
      assert.match(
        await say([
          "RCPT TO:<ann@posthorn.test>",
          "DATA",
          `Subject: x\r\n\r\n${`${"x".repeat(70)}\r\n`.repeat(2000)}.`,
        ]),
        /^552/,
      );
      assert.match(
        await say(["RCPT TO:<ann@posthorn.test>", "DATA", `${"Received: from a by b; x\r\n".repeat(150)}\r\nx\r\n.`]),
        /^554/,
      );
      assert.match(await say(["RCPT TO:<ann@posthorn.test>", "DATA", "Subject: a\nb\r\n\r\nx\r\n."]), /^5/);
      assert.match(await say(["RCPT TO:<ann@posthorn.test>", "DATA", "Subject: fine\r\n\r\nx\r\n."]), /^250/);
      await server.waitForMails("ann", 1);
      assert.equal(await untilQuiet([server]), 0);
      assert.deepEqual(victim.sessions, []);
      assert.deepEqual(victim.mails, []);
    },
  );
}
