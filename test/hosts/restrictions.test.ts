/** Restrictions that remember, count and ask others, on whole servers: shared by all processes, kept over a restart. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startPolicyServer } from "../policy-server.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer, type Layout } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

function settings(layout: Layout, restrictions: string, more = ""): string {
  return `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 1 }
local: { domains: [posthorn.test], users: [bob, carl] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback] }
restrictions:
${restrictions}
${more}`;
}

interface Given {
  readonly address?: string;
  readonly helo?: string;
  readonly from?: string;
  readonly to?: readonly string[];
  readonly content?: string;
}

/** One mail of a stranger's; the replies to RCPT, and to the end of the content where there is one. */
async function give(port: number, mail: Given): Promise<readonly string[]> {
  const { address = "203.0.113.9", helo = "mail.far.test", from = "al@far.test", to = ["bob@posthorn.test"] } = mail;
  const client = await smtpConnect(port);
  try {
    await client.reply();
    await client.say("EHLO proxy.test");
    await client.say(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]`);
    const hello = await client.say(`EHLO ${helo}`);
    if (!hello.startsWith("250")) return [hello];
    const sender = await client.say(`MAIL FROM:<${from}>`);
    if (!sender.startsWith("250")) return [sender];
    const heard: string[] = [];
    for (const one of to) heard.push(await client.say(`RCPT TO:<${one}>`));
    if (mail.content === undefined || !heard.some((reply) => reply.startsWith("250"))) return heard;
    const ahead = await client.say("DATA");
    if (!ahead.startsWith("354")) return [...heard, ahead];
    client.send(`${mail.content.replace(/\n/g, "\r\n")}\r\n.\r\n`);
    return [...heard, await client.reply()];
  } finally {
    client.close();
  }
}

const CONTENT = "Subject: tea\n\nhello";

for (const layout of LAYOUTS)
  test(`greylisting waits, remembers over a restart, and does what a person says (${layout})`, async () => {
    const first = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: settings(layout, "  - greylist: { delay: 8s, auto-allow-after: 0 }"),
    });
    try {
      const { smtp } = first.ports;
      const [no = ""] = await give(smtp, {});
      assert.match(
        no,
        /^450 4\.7\.1 <bob@posthorn\.test>: Recipient address rejected: Greylisted, try again in 8 seconds/,
      );
      await first.waitForOutput(
        /reject: RCPT from unknown\[203\.0\.113\.9\]: 450 .* restriction=<greylist> because=<new 203\.0\.113\.0\/24>/,
      );
      assert.match((await give(smtp, {}))[0] ?? "", /^450/);
      assert.match((await give(smtp, { address: "127.0.0.1" }))[0] ?? "", /^250/);
      await wait(8100);
      // A neighbour, through whichever process takes the connection.
      assert.match((await give(smtp, { address: "203.0.113.77" }))[0] ?? "", /^250/);
      const listed = await first.posthorn("greylist", "list");
      assert.match(listed.stdout, /passed +203\.0\.113\.0\/24 +al@far\.test +bob@posthorn\.test/);
      assert.match((await first.posthorn("greylist", "allow", "198.51.100.4")).stdout, /let in: 198\.51\.100\.0\/24/);
      assert.match((await give(smtp, { address: "198.51.100.200" }))[0] ?? "", /^250/);
      assert.equal(await first.stop(), 0);
      await using again = await startServer({
        readyWithinMs: 120_000,
        layout,
        folder: first.folder,
        ports: first.ports,
        wholeSettings: settings(layout, "  - greylist: { delay: 8s, auto-allow-after: 0 }"),
      });
      assert.match((await give(smtp, {}))[0] ?? "", /^250/);
      assert.match((await give(smtp, { address: "198.51.100.200" }))[0] ?? "", /^250/);
      assert.match((await again.posthorn("greylist", "remove", "far.test")).stdout, /^1 forgotten/);
      assert.match((await give(smtp, {}))[0] ?? "", /^450/);
    } finally {
      await first[Symbol.asyncDispose]();
    }
  });

for (const layout of LAYOUTS)
  test(`what greylisting and the journal know may be damaged: it is set aside, and mail goes on (${layout})`, async () => {
    const wholeSettings = settings(layout, "  - greylist: { delay: 1s, auto-allow-after: 0 }");
    const first = await startServer({ readyWithinMs: 120_000, layout, wholeSettings });
    try {
      const { smtp } = first.ports;
      assert.match((await give(smtp, {}))[0] ?? "", /^450/);
      assert.equal(await first.stop(), 0);
      const files = ["data/memory/greylist.db", "data/journal/journal.db"].map((name) => join(first.folder, name));
      for (const file of files) {
        const bytes = readFileSync(file);
        // The header stays what it was: it is the rest that the disk has lost.
        writeFileSync(file, bytes.fill(0xa5, 100));
      }
      await using again = await startServer({
        readyWithinMs: 120_000,
        layout,
        folder: first.folder,
        ports: first.ports,
        wholeSettings,
      });
      assert.match((await give(smtp, {}))[0] ?? "", /^450 4\.7\.1 .*Greylisted/);
      for (const name of ["greylist", "journal"])
        await again.waitForOutput(
          new RegExp(
            `error: \\S+/${name}\\.db, which holds [^:]*, is damaged: .*; it is now \\S+/${name}\\.db\\.broken`,
          ),
        );
      await wait(1100);
      assert.match((await give(smtp, {}))[0] ?? "", /^250/);
      const question = "SELECT fields ->> 'file' FROM events WHERE event = 'server.database-set-aside'";
      const untilAt = Date.now() + 30_000;
      let told = "";
      while (!(told.includes("greylist.db") && told.includes("journal.db")) && Date.now() < untilAt)
        told = (await again.posthorn("log", "--sql", question)).stdout;
      assert.match(told, /greylist\.db/);
      assert.match(told, /journal\.db/);
      for (const file of files) assert.ok(existsSync(`${file}.broken`));
    } finally {
      await first[Symbol.asyncDispose]();
    }
  });

for (const layout of LAYOUTS)
  test(`a reload brings greylisting; who remembers may be away, and mail waits (${layout})`, async () => {
    await using server = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: settings(layout, "  - permit: local"),
    });
    const { smtp } = server.ports;
    assert.match((await give(smtp, {}))[0] ?? "", /^250/);
    server.rewrite({ wholeSettings: settings(layout, "  - greylist: { delay: 1h }") });
    const reloaded = await server.posthorn("reload");
    assert.equal(reloaded.status, 0, reloaded.stderr);
    const answer = async (): Promise<string> => (await give(smtp, {}))[0] ?? "";
    assert.match(await untilSaid(answer, /^450/), /Greylisted/);
    if (layout === "single") return;
    const lookup = [...server.workers()].find(([name]) => name.startsWith("lookup"))?.[1];
    assert.ok(lookup !== undefined);
    process.kill(lookup, "SIGKILL");
    // Away for a moment, and back with what it knew.
    assert.match(await untilSaid(answer, /Greylisted, try again in 3[0-5]\d\d seconds/), /^450/);
    assert.match((await server.posthorn("greylist", "list", "--waiting")).stdout, /al@far\.test/);
  });

/** Asks again while the answer is another one, or none; each is a temporary refusal or an acceptance by the rules before. */
async function untilSaid(ask: () => Promise<string>, wanted: RegExp): Promise<string> {
  const untilAt = Date.now() + 60_000;
  for (;;) {
    const said = await ask().catch((error: unknown) => String(error));
    if (wanted.test(said)) return said;
    assert.match(said, /^250|^45[01]|closed|ECONN/);
    if (Date.now() > untilAt) throw new Error(`the last answer was ${said}`);
    await wait(200);
  }
}

for (const layout of LAYOUTS)
  test(`rates are counted for all processes together, and shown (${layout})`, async () => {
    await using server = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: settings(
        layout,
        `  - { rate: { by: network, limit: 4/h }, name: per-network }
  - { rate: { by: sender, count: messages, limit: 2/h }, code: 550, text: enough for today }
  - { rate: { by: address, count: bytes, limit: 1KiB/h }, warn-only: true }`,
      ),
    });
    const { smtp } = server.ports;
    const answers: string[] = [];
    for (let n = 0; n < 6; n++)
      answers.push((await give(smtp, { address: `203.0.113.${n}`, from: `s${n}@far.test` }))[0] ?? "");
    assert.deepEqual(
      answers.map((text) => text.slice(0, 3)),
      ["250", "250", "250", "250", "450", "450"],
    );
    assert.match(answers[5] ?? "", /^450 4\.7\.1 Too much mail \(recipients 4\/h\); try again in/);
    await server.waitForOutput(
      /450 4\.7\.1 .*Too much mail .* restriction=<per-network> because=<network 203\.0\.113\.0\/24>/,
    );

    // At DATA, where it is a mail.
    for (const expected of ["250", "250", "550"]) {
      const heard = await give(smtp, { address: "198.51.100.1", from: "al@far.test", content: CONTENT });
      assert.equal(heard.at(-1)?.slice(0, 3), expected);
    }
    await server.waitForOutput(
      /reject: DATA from .*: 550 5\.7\.1 .*enough for today; .* restriction=<rate sender messages 2\/h>/,
    );

    const large = `Subject: x\n\n${"y".repeat(900)}`;
    for (let n = 0; n < 2; n++)
      assert.match(
        (await give(smtp, { address: "192.0.2.1", from: `l${n}@far.test`, content: large })).at(-1) ?? "",
        /^250/,
      );
    await server.waitForOutput(
      /reject_warning: END-OF-MESSAGE from .*: 450 4\.7\.1 .*Too much mail \(bytes 1KiB per 1h\)/,
    );

    const shown = await server.posthorn("show", "rates");
    assert.match(shown.stdout, /203\.0\.113\.0\/24 +4 +4\/h +2 .* per-network/);
    assert.match((await server.posthorn("rates", "clear", "203.0.113.0/24")).stdout, /begins anew/);
    assert.match((await give(smtp, { from: "x@far.test" }))[0] ?? "", /^250/);
  });

for (const layout of LAYOUTS)
  test(`what a policy server says is done: refused, changed, held, thrown away, sent elsewhere (${layout})`, async () => {
    await using policy = await startPolicyServer((asked) => {
      const [word = ""] = (asked.get("sender") ?? "").split("@");
      if (asked.get("protocol_state") === "END-OF-MESSAGE")
        return Number(asked.get("size")) > 500 ? "552 5.3.4 too long for us" : "DUNNO";
      const says: Readonly<Record<string, string>> = {
        grey: "DEFER_IF_PERMIT 4.2.0 Greylisted",
        bad: "REJECT not from you",
        field: "PREPEND X-Policy: seen",
        hold: "HOLD to be looked at",
        gone: "DISCARD nobody wants it",
        away: "REDIRECT carl@posthorn.test",
        copy: "BCC carl@posthorn.test",
        out: "FILTER smtp:[203.0.113.5]:25",
        lost: "REDIRECT nobody@posthorn.test",
      };
      return says[word] ?? "DUNNO";
    });
    await using server = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: settings(
        layout,
        `  - { policy: "${policy.at}", name: grey }
  - { policy: "${policy.at}", when: end-of-data, name: size }`,
        "rules:\n  - { match: { for: local }, action: deliver }",
      ),
    });
    const { smtp } = server.ports;
    const from = (word: string, more: Given = {}) =>
      give(smtp, { from: `${word}@far.test`, content: CONTENT, ...more });

    assert.match(
      (await from("grey"))[0] ?? "",
      /^450 4\.2\.0 <bob@posthorn\.test>: Recipient address rejected: Greylisted/,
    );
    assert.match((await from("bad"))[0] ?? "", /^554 5\.7\.1 .* not from you/);
    await server.waitForOutput(/reject: RCPT from .* restriction=<grey>/);

    assert.match((await from("field")).at(-1) ?? "", /^250/);
    const [withField = ""] = await server.waitForMails("bob", 1);
    assert.match(withField, /^X-Policy: seen\nSubject: tea\n/m);

    assert.match((await from("gone")).at(-1) ?? "", /^250/);
    assert.match((await from("hold")).at(-1) ?? "", /^250/);
    assert.match((await from("away")).at(-1) ?? "", /^250/);
    assert.equal((await server.waitForMails("carl", 1)).length, 1);
    assert.match((await from("copy")).at(-1) ?? "", /^250/);
    await server.waitForMails("carl", 2);
    await server.waitForMails("bob", 2);
    const held = await server.posthorn("queue", "list");
    assert.match(held.stdout, /hold@far\.test/);

    // Neither a host of its choice, nor an address that is none.
    assert.match((await from("out"))[0] ?? "", /^451 4\.3\.5/);
    assert.match((await from("lost")).at(-1) ?? "", /^451 4\.3\.5/);

    const long = `Subject: x\n\n${"y".repeat(600)}`;
    assert.match(
      (await from("plain", { content: long })).at(-1) ?? "",
      /^552 5\.3\.4 <END-OF-MESSAGE>: End-of-data rejected: too long for us/,
    );
    assert.equal(server.mailsOf("bob").length, 2);

    const asked = policy.asked.find((one) => one.get("sender") === "field@far.test");
    assert.equal(asked?.get("client_address"), "203.0.113.9");
    assert.equal(asked.get("server_port"), String(smtp));
    assert.equal(asked.get("helo_name"), "mail.far.test");
    const ofField = policy.asked.filter((one) => one.get("sender") === "field@far.test");
    assert.equal(new Set(ofField.map((one) => one.get("instance"))).size, 1);
  });

for (const layout of LAYOUTS)
  test(`a recipient is taken when the host behind us knows it (${layout})`, async () => {
    await using inside = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT TO:<nobody@") ? "550 5.1.1 no such user here" : undefined),
    });
    await using server = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: settings(
        layout,
        "  - callout: recipient",
        `actions:
  inside: { relay: { to: "smtp://127.0.0.1:${inside.port}" } }
rules:
  - { match: { rcpt-to: "@inside.test" }, action: inside }`,
      ),
    });
    const { smtp } = server.ports;
    const [no = ""] = await give(smtp, { to: ["nobody@inside.test"] });
    assert.match(
      no,
      /^550 5\.1\.1 <nobody@inside\.test>: Recipient address rejected: undeliverable address: host .* said: 550 5\.1\.1 no such user here/,
    );
    const probe = inside.sessions[0]?.lines ?? [];
    assert.deepEqual(
      probe.filter((line) => /^(MAIL|RCPT|DATA)/.test(line)),
      ["MAIL FROM:<>", "RCPT TO:<nobody@inside.test>"],
    );
    assert.match((await give(smtp, { to: ["ada@inside.test"], content: CONTENT })).at(-1) ?? "", /^250/);
    await inside.waitForMails(1);
    const before = inside.sessions.length;
    assert.match((await give(smtp, { to: ["nobody@inside.test"] }))[0] ?? "", /^550/);
    assert.equal(inside.sessions.length, before, "it is remembered");
    await server.waitForOutput(/restriction=<callout recipient>/);
  });

test("no stranger relays by what proxies and content filters may say", async () => {
  await using server = await startServer({
    readyWithinMs: 120_000,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
processes: { layout: single }
local: { domains: [posthorn.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback], xforward-from: [loopback], judge-forwarded: true }
  - { name: filtered, address: 127.0.0.1, port: {submission}, protocol: smtp, xclient-from: [loopback], restrictions: [{ permit: local }, { reject: any, name: only-the-filter }] }
`,
  });
  const rcpt = async (port: number, ...before: readonly string[]): Promise<string> => {
    const client = await smtpConnect(port);
    try {
      await client.reply();
      for (const line of before) await client.say(line);
      await client.say("EHLO friend.test");
      await client.say("MAIL FROM:<al@far.test>");
      return await client.say("RCPT TO:<victim@elsewhere.test>");
    } finally {
      client.close();
    }
  };
  const stranger = ["EHLO proxy.test", "XCLIENT ADDR=203.0.113.9 NAME=[UNAVAILABLE]", "EHLO friend.test"];
  const { smtp, submission: filtered } = server.ports;
  const denied = /^(?:550|554) 5\.7\.1/;
  assert.match(await rcpt(smtp, ...stranger), denied);
  assert.match(await rcpt(smtp, ...stranger, "XFORWARD ADDR=127.0.0.1 NAME=localhost"), denied);
  assert.match(await rcpt(smtp, ...stranger, "XFORWARD ADDR=[UNAVAILABLE] SOURCE=LOCAL"), denied);
  // What the filter itself was told by strangers is judged as theirs.
  assert.match(await rcpt(smtp, "EHLO filter.test", "XFORWARD ADDR=203.0.113.9 NAME=[UNAVAILABLE]"), denied);
  assert.match(await rcpt(filtered, ...stranger), denied);
  await server.waitForOutput(/restriction=<only-the-filter>/);
  // Else nothing would have been shown.
  assert.match(await rcpt(filtered), /^250/);
});

test("what is found early waits for RCPT or is said at once, as the settings have it", async () => {
  await using server = await startServer({
    readyWithinMs: 120_000,
    wholeSettings: settings(
      "single",
      `  - { reject: 203.0.113.0/24, when: connect, name: late }
  - { helo: evil.test, when: helo, answer: at-once, name: early }
  - { sender: "@spam.test", when: mail, answer: at-once, name: sender }`,
    ),
  });
  const { smtp } = server.ports;
  assert.match((await give(smtp, { address: "198.51.100.1" }))[0] ?? "", /^250/);
  // Whom XCLIENT names has come now.
  assert.match((await give(smtp, {}))[0] ?? "", /^554 5\.7\.1 <unknown\[203\.0\.113\.9\]>: Client host rejected/);
  await server.waitForOutput(/reject: RCPT from .* from=<al@far\.test> to=<bob@posthorn\.test> .* restriction=<late>/);
  assert.match(
    (await give(smtp, { address: "198.51.100.1", helo: "evil.test" }))[0] ?? "",
    /^550 5\.7\.1 <evil\.test>: Helo command rejected/,
  );
  await server.waitForOutput(/reject: EHLO from .* restriction=<early>/);
  assert.match(
    (await give(smtp, { address: "198.51.100.1", from: "x@spam.test" }))[0] ?? "",
    /^554 5\.7\.1 <x@spam\.test>: Sender address rejected/,
  );
  await server.waitForOutput(/reject: MAIL from .* restriction=<sender>/);
});
