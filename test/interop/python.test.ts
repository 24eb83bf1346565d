import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { hashPassword } from "../../src/service/account/hash-password.io.ts";
import { differenceOf, isOf, message, sevenBitContents } from "../peers/contents.ts";
import { readWithMutt } from "../peers/mutt.ts";
import { requirePeer } from "../peers/peer.ts";
import { readWithPython, sendWithPython } from "../peers/python.ts";
import { freePort, startServer } from "../server.ts";

test("python's smtplib sends, and its mailbox module and mutt read an mbox", async (t) => {
  const python = requirePeer("python3", t);
  if (python === undefined) return;
  const lmtp = await freePort();
  await using server = await startServer({
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: single }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: submission, tls: implicit }
  - { name: lmtp, address: 127.0.0.1, port: ${lmtp}, protocol: lmtp }
local: { domains: [posthorn.test], users: [ada, old] }
accounts: table:people
tables:
  people: { map: { ada: "${await hashPassword("pässword")}" } }
actions:
  file: { deliver: mbox }
rules:
  - { match: { rcptTo: "old@posthorn.test" }, action: file }
  - { match: { for: local }, action: deliver }
`,
  });
  const mail = { from: "ada@posthorn.test", to: ["ada@posthorn.test"] };
  const content = message("python", "x\r\n");

  for (const [name, protocol, port, startsTls] of [
    ["STARTTLS", "smtp", server.ports.submission, true],
    ["implicit TLS", "smtps", server.ports.smtps, false],
  ] as const)
    await t.test(`a login over ${name}, with a password beyond ASCII and with a wrong one`, async () => {
      const submit = (password: string): ReturnType<typeof sendWithPython> =>
        sendWithPython(python, {
          ...mail,
          protocol,
          port,
          startsTls,
          login: { user: "ada", password },
          content: content.bytes,
        });
      assert.deepEqual(await submit("right horse"), { error: "SMTPAuthenticationError", code: 535 });
      // smtplib sends ASCII only, whatever it is given; the hash is of what was typed.
      assert.deepEqual(await submit("password"), { error: "SMTPAuthenticationError", code: 535 });
    });

  await t.test("smtplib's LMTP is told about each recipient", async () => {
    const to = ["ada@posthorn.test", "nobody@posthorn.test"];
    const sent = await sendWithPython(python, { ...mail, to, protocol: "lmtp", port: lmtp, content: content.bytes });
    assert.deepEqual(sent, { refused: { "nobody@posthorn.test": 550 } });
    const [arrived = ""] = await server.waitForMails("ada", 1);
    assert.equal(differenceOf(arrived, content), undefined);
  });

  await t.test(
    "an mbox of ours is read by python's mailbox module and by mutt, lines like its own included",
    async (t2) => {
      const contents = sevenBitContents();
      for (const one of contents) {
        const sent = await sendWithPython(python, {
          from: one.name === "dots" ? "" : "writer@posthorn.test",
          to: ["old@posthorn.test"],
          port: server.ports.smtp,
          content: one.bytes,
        });
        assert.deepEqual(sent, { refused: {} }, one.name);
      }
      const untilAt = Date.now() + 60_000;
      const arrived = (): number => server.output().match(/to=<old@\S+, .*status=sent/g)?.length ?? 0;
      while (arrived() < contents.length) {
        assert.ok(Date.now() < untilAt, server.output().slice(-6000));
        await wait(50);
      }
      const box = join(server.folder, "data", "mail", "old", "mbox");
      const compare = (mails: readonly string[]): void => {
        assert.equal(mails.length, contents.length);
        const differences = contents.map((one) => {
          // Readers of the mboxrd kind take one `>` away; these two leave it.
          const quoted = one.bytes.toString("latin1").replace(/^(>*From )/gm, ">$1");
          return differenceOf(mails.find((read) => isOf(read, one)) ?? "", {
            ...one,
            bytes: Buffer.from(quoted, "latin1"),
          });
        });
        assert.deepEqual(
          differences.filter((difference) => difference !== undefined),
          [],
        );
      };
      compare((await readWithPython(python, "mbox", box)).map((read) => read.raw));
      const mutt = requirePeer("mutt", t2);
      if (mutt !== undefined) compare((await readWithMutt(mutt, box)).map((read) => read.replace(/^From .*\n/, "")));
    },
  );
});
