import assert from "node:assert/strict";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startScriptedHost } from "../scripted-host.ts";
import { freePort, LAYOUTS, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Runs `posthorn queue …`, which must end with `status`, and gives what it wrote. */
async function queue(server: TestServer, status: number, ...argv: readonly string[]): Promise<string> {
  const ran = await server.posthorn("queue", ...argv);
  assert.equal(ran.status, status, `posthorn queue ${argv.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

async function idsOf(server: TestServer, ...filter: readonly string[]): Promise<Record<string, string>> {
  const text = await server.posthorn("queue", "list", "--json", ...filter);
  const rows = text.stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { envelope: string; recipient: string });
  return Object.fromEntries(rows.map((row) => [row.recipient, row.envelope]));
}

async function eventually(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const untilAt = Date.now() + 60_000; Date.now() < untilAt; await wait(50)) if (await is()) return;
  assert.fail(`not within 15 s: ${what}`);
}

for (const layout of LAYOUTS) {
  test(`${layout}: an operator lists, shows, holds, releases, retries, bounces, removes and counts what waits`, async () => {
    let isWelcome = false;
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") && !isWelcome ? "450 4.2.1 busy" : undefined),
    });
    const dead = await freePort();
    await using server = await startServer({
      layout,
      settings: `actions:
  out: { relay: { to: "smtp://127.0.0.1:${host.port}" } }
  dead: { relay: { to: "smtp://127.0.0.1:${dead}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local, for: dead.test }, action: dead }
  - { match: { from: local }, action: out }
`,
    });
    const send = (from: string, ...to: readonly string[]): Promise<string> =>
      sendMail(server.ports.smtp, { from, to, content: "Subject: tea\nX-Long: a\n\tb\n\nthe body\n" });
    await send("ann@localhost", "1@x.test", "2@x.test");
    await send("bob@localhost", "1@y.test");
    await send("bob@localhost", "1@dead.test");
    await eventually(
      "all are deferred",
      async () => Object.keys(await idsOf(server, "--state", "deferred")).length === 4,
    );

    assert.deepEqual(Object.keys(await idsOf(server, "--sender", "bob@localhost")).sort(), ["1@dead.test", "1@y.test"]);
    assert.deepEqual(Object.keys(await idsOf(server, "--domain", "X.test")).sort(), ["1@x.test", "2@x.test"]);
    assert.deepEqual(Object.keys(await idsOf(server, "--recipient", "1@y.test")), ["1@y.test"]);
    assert.equal(Object.keys(await idsOf(server, "--newer", "1h", "--limit", "3")).length, 3);
    await queue(server, 1, "list", "--older", "1h");
    await queue(server, 1, "list", "--state", "dead");

    const ids = await idsOf(server);
    const id = ids["1@x.test"] ?? "";
    const message = id.split(".")[0] ?? "";
    const shown = await queue(server, 0, "show", id);
    assert.match(shown, /^sender +ann@localhost$/m);
    assert.match(shown, /^attempt .* deferred by 127\.0\.0\.1\[127\.0\.0\.1\]:\d+, \d+ ms: .*450 4\.2\.1 busy/m);
    assert.doesNotMatch(shown, /the body/);
    const headers = await queue(server, 0, "show", message, "--headers");
    assert.match(headers, /^X-Long: a\n\tb$/m);
    assert.doesNotMatch(headers, /the body/);
    assert.match(await queue(server, 0, "show", message, "--body"), /\r?\n\r?\nthe body\r?\n/);
    await server.waitForOutput(/posthorn\/control\[\d+\]: uid=\d+ pid=\d+: queue\.content /);

    const counted = await queue(server, 0, "count");
    assert.match(counted, /^TOTAL +4 +4 /m);
    assert.match(counted, /^x\.test +2 +2 /m);

    await queue(server, 0, "hold", id, "--because", "a look", "--for", "12s");
    assert.match(await queue(server, 0, "list", "--state", "held"), /1@x\.test +released in \d+s +a look/);
    await queue(server, 1, "release", "--domain", "y.test");
    await eventually(
      "the hold ends by itself",
      async () => (await idsOf(server, "--state", "held"))["1@x.test"] === undefined,
    );
    await queue(server, 0, "hold", "--all", "--because", "maintenance");
    assert.equal(Object.keys(await idsOf(server, "--state", "held")).length, 4);
    isWelcome = true;
    await queue(server, 1, "retry", "--all");
    await queue(server, 0, "release", "--all");
    await eventually("all but one wait no more for their holds", async () => {
      const left = Object.keys(await idsOf(server));
      return left.length < 4;
    });

    // What a host that cannot be reached has in store is retried by that host's address, as `routes` shows it.
    await eventually("the dead host was tried", async () =>
      /busy|refused/.test(await queue(server, 0, "show", ids["1@dead.test"] ?? "")),
    );
    assert.match((await server.posthorn("routes")).stdout, new RegExp(`127\\.0\\.0\\.1:${dead} .*refused`));
    await queue(server, 0, "retry", "--route", `127.0.0.1:${dead}`);
    await queue(server, 0, "bounce", "--domain", "dead.test", "--because", "nobody lives there");
    const [notice = ""] = await server.waitForMails("bob", 1);
    assert.match(notice, /nobody lives there/);
    await queue(server, 0, "retry", "--all").catch(() => {});
    await eventually("the rest is delivered", async () => (await server.posthorn("queue", "list")).status === 1);
    assert.deepEqual(host.mails.flatMap((mail) => mail.recipients).sort(), ["1@x.test", "1@y.test", "2@x.test"]);

    isWelcome = false;
    await send("ann@localhost", "3@x.test");
    await eventually("it is there", async () => (await idsOf(server))["3@x.test"] !== undefined);
    await queue(server, 0, "remove", "--sender", "ann@localhost");
    await queue(server, 1, "list");
    assert.equal(server.mailsOf("ann").length, 0);
  });

  test(`${layout}: paused reception, sending and delivery wait and say so, and go on when told to`, async () => {
    await using host = await startScriptedHost();
    await using server = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp://[127.0.0.1]:${host.port}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`,
    });
    const mail = { from: "a@b.test", to: ["x@y.test", "ada@localhost"], content: "Subject: x\n\nx" };
    assert.equal((await server.posthorn("pause", "in", "--because", "a new disk")).status, 0);
    await eventually("mail is put off", async () => (await sendMail(server.ports.smtp, mail)).startsWith("450 4.3.2 "));
    await server.waitForOutput(/NOQUEUE: reject: MAIL from localhost.*450 4\.3\.2 .*paused: a new disk/);
    assert.match((await server.posthorn("status")).stdout, /^PAUSED +in, .*a new disk/m);
    for (const direction of ["out", "local"]) await server.posthorn("pause", direction, "--because", "a look");
    await server.posthorn("resume", "in");
    await eventually("mail is taken", async () => (await sendMail(server.ports.smtp, mail)).startsWith("250 "));
    await eventually("it waits", async () => Object.keys(await idsOf(server)).length === 2);
    const ids = await idsOf(server);
    assert.match(await queue(server, 0, "show", ids["x@y.test"] ?? ""), /^waits +out is paused: a look$/m);
    assert.match(await queue(server, 0, "show", ids["ada@localhost"] ?? ""), /^waits +local is paused: a look$/m);
    assert.equal(host.sessions.length + server.mailsOf("ada").length, 0);
    for (const direction of ["out", "local"]) await server.posthorn("resume", direction);
    await host.waitForMails(1);
    await server.waitForMails("ada", 1);
  });

  test(`${layout}: what is queued survives a backup into an empty state and is delivered from there`, async () => {
    let isWelcome = false;
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") && !isWelcome ? "450 4.2.1 busy" : undefined),
    });
    const settings = `actions: { out: { relay: { to: "smtp://127.0.0.1:${host.port}" } } }
rules: [ { match: { from: local }, action: out } ]
`;
    const large = "a line of a large letter\n".repeat(8000);
    await using first = await startServer({ layout, settings });
    for (const [to, content] of [
      ["small@x.test", "Subject: s\n\nsmall\n"],
      ["large@x.test", `Subject: l\n\n${large}`],
    ] as const)
      assert.match(await sendMail(first.ports.smtp, { from: "a@b.test", to, content }), /^250 /);
    await first.posthorn("queue", "hold", "--all");
    const kept = `${first.folder}/data/kept`;
    // The server writes it, and in a split layout that is somebody else.
    mkdirSync(kept);
    chmodSync(kept, 0o777);
    const elsewhere = await first.posthorn("backup", "/dev/null/kept");
    assert.notEqual(elsewhere.status, 0);
    assert.match(elsewhere.stderr, /\/dev\/null\/kept cannot be made/);
    const backup = await first.posthorn("backup", kept);
    assert.equal(backup.status, 0, backup.stderr);
    // The server goes on meanwhile; what comes later is not in the copy.
    assert.match(
      await sendMail(first.ports.smtp, { from: "a@b.test", to: "late@x.test", content: "Subject: x\n\nx\n" }),
      /^250 /,
    );
    const refused = await first.posthorn("restore", kept);
    assert.notEqual(refused.status, 0, "a running server's queue is not written over");

    await using second = await startServer({ layout, settings });
    await second.stop();
    rmSync(`${second.folder}/data/queue`, { recursive: true });
    const restored = await second.posthorn("restore", kept);
    assert.equal(restored.status, 0, restored.stderr + restored.stdout);
    await using again = await startServer({ layout, settings, folder: second.folder });
    assert.deepEqual(Object.keys(await idsOf(again, "--state", "held")).sort(), ["large@x.test", "small@x.test"]);
    isWelcome = true;
    assert.equal((await again.posthorn("queue", "release", "--all")).status, 0);
    const mails = await host.waitForMails(2);
    const letter = mails.find((mail) => mail.recipients[0] === "large@x.test")?.content ?? "";
    assert.ok(letter.replaceAll("\r\n", "\n").includes(large.trimEnd()));
    assert.ok(!mails.some((mail) => mail.recipients[0] === "late@x.test"));
  });
}

for (const layout of LAYOUTS) {
  test(`${layout}: a list of many pages is whole, in order and live, as lines and as JSON`, async () => {
    await using server = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp://127.0.0.1:9" } } }
rules: [{ match: { from: local }, action: out }]
`,
    });
    assert.equal((await server.posthorn("pause", "out", "--because", "a look")).status, 0);
    const sent = Array.from({ length: 2500 }, (_, number) => `u${number}@x.test`);
    for (let at = 0; at < sent.length; at += 100)
      await sendMail(server.ports.smtp, { from: "ann@localhost", to: sent.slice(at, at + 100), content: "x\n" });
    const ids = await idsOf(server);
    assert.deepEqual(Object.keys(ids), sent);
    const lines = (await queue(server, 0, "list")).trimEnd().split("\n");
    assert.match(lines.shift() ?? "", /^ENVELOPE +STATE/);
    assert.deepEqual(
      lines.map((line) => line.split(/ +/)[0]),
      Object.values(ids),
    );
    assert.ok(lines.every((line) => line.split(/ +/)[1] === "ready"));
    assert.equal(Object.keys(await idsOf(server, "--limit", "1500")).length, 1500);
  });
}
