import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { differenceOf, eightBitContents, isOf, message, sevenBitContents, type Content } from "../peers/contents.ts";
import { startDovecot } from "../peers/dovecot.ts";
import { requirePeer } from "../peers/peer.ts";
import { hasPeer } from "../peers/running.ts";
import { swaks } from "../peers/swaks.ts";
import { startServer } from "../server.ts";

test("mail from swaks through Posthorn to dovecot's LMTP on a unix socket", async (t) => {
  if (!hasPeer("dovecot", t)) return;
  const program = requirePeer("swaks", t);
  if (program === undefined) return;
  await using dovecot = await startDovecot();
  await using server = await startServer({
    settings: `local: { domains: [posthorn.test] }
actions: { box: { relay: { to: "lmtp+unix:${dovecot.at}" } } }
rules: [ { match: { for: dovecot.test }, action: box }, { match: { for: local }, action: deliver } ]
`,
  });
  const send = async (from: string, to: readonly string[], content: Content): Promise<void> => {
    const { status, output } = await swaks(program, { at: server.ports.smtp, from, to, content });
    assert.equal(status, 0, output);
  };
  const copiesOf = async (content: Content, count = 1): Promise<readonly string[]> => {
    const untilAt = Date.now() + 60_000;
    for (;;) {
      const copies = dovecot.mails().filter((mail) => isOf(mail, content));
      if (copies.length >= count) return copies;
      assert.ok(Date.now() < untilAt, `${server.output().slice(-3000)}\n${dovecot.log().slice(-3000)}`);
      await wait(50);
    }
  };

  await t.test("content arrives byte for byte", async () => {
    const contents = [...sevenBitContents(), ...eightBitContents()];
    for (const content of contents) await send("writer@posthorn.test", ["ann@dovecot.test"], content);
    const differences: (string | undefined)[] = [];
    for (const content of contents) differences.push(differenceOf((await copiesOf(content))[0] ?? "", content));
    assert.deepEqual(
      differences.filter((difference) => difference !== undefined),
      [],
    );
  });

  await t.test("several recipients go in one transaction, and each has an answer of its own", async () => {
    const content = message("several", "x\r\n");
    const to = ["ben", "cid", "dot"].map((user) => `${user}@dovecot.test`);
    await send("writer@posthorn.test", to, content);
    await copiesOf(content, to.length);
    const answers = await Promise.all(
      to.map((recipient) =>
        server.waitForOutput(
          new RegExp(`posthorn/lmtp\\S+ \\S+: to=<${recipient}>, .*status=sent \\(250 2\\.0\\.0 (<\\S+>.*)\\)\n`),
        ),
      ),
    );
    assert.deepEqual(
      answers.map((answer) => answer[1]?.split(" ")[0]),
      to.map((recipient) => `<${recipient}>`),
    );
    // Dovecot names the session and, within it, the transaction.
    const transactions = answers.map((answer) => answer[1]?.split(" ")[1]?.replace(/:R\d+$/, ""));
    assert.equal(new Set(transactions).size, 1, answers.map(String).join("\n"));
  });

  await t.test("the null sender stays the null sender", async () => {
    const content = message("null sender", "x\r\n");
    await send("", ["ann@dovecot.test"], content);
    const [mail = ""] = await copiesOf(content);
    assert.match(mail, /^Return-Path: <>$/m);
  });

  await t.test("both sides end cleanly", async () => {
    const bad = server.output().match(/.*posthorn\/\S+: (?:error|fatal|panic|warning).*/g);
    assert.equal(bad, null, bad?.join("\n"));
    assert.equal(await server.stop(), 0);
  });
});
