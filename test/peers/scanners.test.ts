/** Debian's scanners, spoken with by our own filters, and what becomes of mail when one of them dies. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { treeOf } from "../processes.ts";
import { freePort, LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";
import { EICAR, EICAR_NAME, startClamd } from "./clamd.ts";
import { startRspamd, type RunningRspamd } from "./rspamd.ts";
import { hasPeer, type RunningPeer } from "./running.ts";
import { GTUBE, startSpamd } from "./spamd.ts";
import { throughFilters, type SessionThroughFilters } from "./through-filters.ts";

const MAIL = [
  "Received: from elsewhere.example by client.example.net; Sat, 21 Nov 2026 11:59:00 +0000",
  "From: Alice <alice@example.net>",
  "To: bob@example.org",
  "Subject: Meeting tomorrow",
  "Date: Sat, 21 Nov 2026 12:00:00 +0000",
  "Message-ID: <one@example.net>",
  "X-Spam: No",
  "X-Test-Secret: of the sender",
  "",
  "Shall we meet at ten, in the small room? I bring the papers of last week with me.",
  "",
].join("\n");
const CRLF_MAIL = MAIL.replaceAll("\n", "\r\n");
const BODY = CRLF_MAIL.slice(CRLF_MAIL.indexOf("\r\n\r\n") + 4);

const withField = (field: string): string => MAIL.replace("\nX-Spam", `\n${field}\nX-Spam`);
const bodyOf = (text: string): string => text.slice(text.indexOf("\r\n\r\n") + 4);

/** A session of a user who has logged in. */
function through(filters: Parameters<typeof throughFilters>[0]): Promise<SessionThroughFilters> {
  return throughFilters(filters, { account: "joe", mechanism: "PLAIN" });
}

/** As a filter over HTTP, and as a milter. */
const WAYS: readonly (readonly [string, (rspamd: RunningRspamd) => object])[] = [
  ["over HTTP", ({ http }) => ({ rspamd: `http://127.0.0.1:${http}` })],
  ["as a milter", ({ milter }) => ({ milter: `inet:127.0.0.1:${milter}` })],
];

for (const [way, kindOf] of WAYS)
  test(`rspamd ${way} marks, rewrites, defers and refuses`, { timeout: 120_000 }, async (t) => {
    if (!hasPeer("rspamd", t)) return;
    await using rspamd = await startRspamd();
    await using session = await through({ spam: kindOf(rspamd) });

    const normal = await session.mail(MAIL);
    assert.equal(normal.fate, "keep", normal.told.join("\n"));
    assert.match(
      normal.text,
      /^X-Test-Facts: ip=192\.0\.2\.99 helo=client\.example\.net host=client\.example\.net user=joe from=alice@example\.net to=bob@example\.org id=3f8Q0000000000001\r\n/,
    );
    assert.doesNotMatch(normal.text, /X-Test-Secret|X-Spam: /);
    assert.equal(bodyOf(normal.text), BODY);
    assert.match(normal.text, /\r\nReceived: from elsewhere\.example by client\.example\.net; .*\r\nFrom: Alice/);

    const marked = await session.mail(withField("X-Test-Score: 7"));
    assert.equal(marked.fate, "keep");
    assert.match(marked.text, /\r\nX-Spam: Yes\r\n/);
    assert.equal(marked.text.match(/\r\nX-Spam: /g)?.length, 1);
    assert.match(marked.text, /\r\nX-Spam-Level: \*{7}\r\n/);

    const rewritten = await session.mail(withField("X-Test-Score: 9"));
    assert.match(rewritten.text, /\r\nSubject: \[SPAM\] Meeting tomorrow\r\n/);
    const grey = await session.mail(withField("X-Test-Score: 5"));
    assert.equal(grey.fate, "keep");

    const later = await session.mail(withField("X-Test-Action: soft reject"));
    assert.deepEqual([later.stage, later.reply], ["message", "451 4.7.1 Told by a test"]);
    const refused = await session.mail(withField("X-Test-Score: 20"));
    assert.deepEqual([refused.stage, refused.reply?.slice(0, 3)], ["message", way === "over HTTP" ? "550" : "554"]);
    const gtube = await session.mail(`${MAIL}${GTUBE}\n`);
    assert.deepEqual([gtube.stage, gtube.reply?.slice(0, 1)], ["message", "5"]);

    const body = await session.mail(withField("X-Test-Body: Another text."));
    assert.equal(bodyOf(body.text), "Another text.\r\n");
    assert.match(body.text, /\r\nSubject: Meeting tomorrow\r\n/);

    const bounce = await session.mail(MAIL, { from: "", to: ["a@example.org", "b@example.org"] });
    assert.match(bounce.text, / from= to=a@example\.org,b@example\.org id=/);
    const large = await session.mail(`${MAIL}${`${"0123456789".repeat(7)}\n`.repeat(50_000)}`);
    assert.equal(large.fate, "keep");
    assert.equal(large.text.length - normal.text.length, 72 * 50_000);
  });

test("rspamd's actions mean what the settings say", { timeout: 120_000 }, async (t) => {
  if (!hasPeer("rspamd", t)) return;
  await using rspamd = await startRspamd();
  await using session = await through({
    spam: {
      rspamd: {
        servers: ["http://127.0.0.1:1", `http://127.0.0.1:${rspamd.http}`],
        onReject: "quarantine",
        onAddHeader: "refuse",
        onRewriteSubject: "mark",
        spamHeader: "X-Junk",
        edits: false,
      },
    },
  });
  assert.equal((await session.mail(MAIL)).text, CRLF_MAIL);
  assert.equal((await session.mail(withField("X-Test-Score: 20"))).fate, "quarantine");
  assert.equal((await session.mail(withField("X-Test-Score: 7"))).reply, "550 5.7.1 The mail looks like spam");
  const marked = await session.mail(withField("X-Test-Score: 9"));
  assert.match(marked.text, /\r\nX-Junk: Yes\r\n/);
  assert.doesNotMatch(marked.text, /X-Test-Facts/);
});

test("spamd lets normal mail pass, marks or refuses GTUBE", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("spamassassin", t)) return;
  await using spamd = await startSpamd({ preferences: ["rewrite_header Subject [SPAM]", "report_safe 1"] });
  const servers = `127.0.0.1:${spamd.at}`;
  for (const ask of ["check", "symbols", "headers", "process"]) {
    await using session = await throughFilters({ spam: { spamc: { servers, ask } } });
    const normal = await session.mail(MAIL);
    assert.equal(normal.fate, "keep", normal.told.join("\n"));
    assert.match(normal.text, /\r\nX-Spam-Status: No, score=-?\d/, ask);
    assert.doesNotMatch(normal.text, /Return-Path|X-Spam-Flag/);
    assert.equal(normal.text.match(/^Received: /gm)?.length, 1);
    assert.equal(bodyOf(normal.text), BODY);

    const spam = await session.mail(`X-Spam-Flag: NO\n${MAIL}${GTUBE}\n`);
    assert.equal(spam.fate, "keep");
    assert.match(spam.text, /\r\nX-Spam-Flag: YES\r\n/);
    assert.doesNotMatch(spam.text.slice(0, spam.text.indexOf("\r\n\r\n")), /X-Spam-Flag: NO/);
    assert.match(spam.text, /\r\nX-Spam-Status: Yes, score=10\d\d\.\d required=5\.0/);
    if (ask !== "check") assert.match(spam.text, /\r\nX-Spam-Status: [^\r]*(?:\r\n[ \t][^\r]*)*GTUBE/);
    if (ask === "headers" || ask === "process") assert.match(spam.text, /\r\nSubject: \[SPAM\] Meeting tomorrow\r\n/);
    if (ask === "process") {
      assert.match(spam.text, /\r\nContent-Type: multipart\/mixed/);
      assert.match(bodyOf(spam.text), /Content analysis details:/);
      assert.ok(bodyOf(spam.text).includes(GTUBE));
    } else assert.equal(bodyOf(spam.text), `${BODY}${GTUBE}\r\n`);
  }
  await using strict = await throughFilters({ spam: { spamc: { servers, rejectAbove: "threshold" } } });
  assert.equal((await strict.mail(MAIL)).fate, "keep");
  assert.match(
    (await strict.mail(`${MAIL}${GTUBE}\n`)).reply ?? "",
    /^550 5\.7\.1 The mail looks like spam \(score 1\d{3}/,
  );
});

for (const listens of ["port", "path"] as const)
  test(`clamd at a ${listens} finds a virus, in text and in an attachment`, { timeout: 120_000 }, async (t) => {
    if (!hasPeer("clamav", t)) return;
    await using clamd = await startClamd({ listens, maxStreamBytes: 1_000_000 });
    const servers = listens === "port" ? `127.0.0.1:${clamd.at}` : `unix:${clamd.at}`;
    await using session = await throughFilters({ virus: { clamd: { servers, onTooBig: "quarantine", mark: true } } });
    const clean = await session.mail(MAIL);
    assert.equal(clean.fate, "keep", clean.told.join("\n"));
    assert.match(clean.text, /\r\nX-Virus-Status: Clean\r\n/);
    const found = `550 5.7.1 Virus found: ${EICAR_NAME}`;
    assert.equal((await session.mail(`${MAIL}${EICAR}\n`)).reply, found);
    const attachment = [
      "MIME-Version: 1.0",
      "Subject: a file",
      "Content-Type: application/octet-stream",
      "Content-Transfer-Encoding: base64",
      "",
      Buffer.from(EICAR).toString("base64"),
      "",
    ].join("\n");
    assert.equal((await session.mail(attachment)).reply, found);
    for (let n = 0; n < 5; n++)
      assert.equal((await session.mail(`${MAIL}${"0123456789abcde\n".repeat(300_000)}`)).fate, "quarantine");
    assert.equal((await session.mail(MAIL)).fate, "keep");
  });

const SCANNERS: Readonly<Record<string, readonly [() => Promise<RunningPeer>, (at: string) => object]>> = {
  rspamd: [startRspamd, (at) => ({ rspamd: `http://${at}` })],
  spamassassin: [startSpamd, (at) => ({ spamc: at })],
  clamav: [startClamd, (at) => ({ clamd: at })],
};
for (const [name, [start, kind]] of Object.entries(SCANNERS))
  test(`when ${name} dies, mail waits, passes or is refused, as the settings say`, { timeout: 180_000 }, async (t) => {
    if (!hasPeer(name, t)) return;
    await using scanner = await start();
    const one = kind(`127.0.0.1:${scanner.at}`);
    await using defer = await throughFilters({ scanner: one });
    await using accept = await throughFilters({ scanner: { ...one, onFailure: "accept" } });
    await using reject = await throughFilters({ scanner: { ...one, onFailure: "reject" } });
    for (const session of [defer, accept, reject]) assert.equal((await session.mail(MAIL)).fate, "keep");
    for (const { pid } of treeOf(scanner.pid)) process.kill(pid, "SIGKILL");
    while (treeOf(scanner.pid).length > 0 && (await defer.mail(MAIL)).fate === "keep") await wait(50);
    assert.equal((await defer.mail(MAIL)).reply?.slice(0, 3), "451");
    assert.equal((await accept.mail(MAIL)).text, CRLF_MAIL);
    assert.equal((await reject.mail(MAIL)).reply?.slice(0, 3), "554");
  });

for (const layout of LAYOUTS)
  test(
    `a server with rspamd, spamd, clamd and a hook in Python in a row (${layout})`,
    { timeout: 240_000 },
    async (t) => {
      if (!hasPeer("rspamd", t) || !hasPeer("spamassassin", t) || !hasPeer("clamav", t)) return;
      await using rspamd = await startRspamd();
      await using spamd = await startSpamd();
      await using clamd = await startClamd({ listens: "path" });
      await using hook = await startHook("of this test");
      await using server = await startServer({
        layout,
        // Its processes start slowly beside scanners that load their rules.
        readyWithinMs: 120_000,
        settings: `
local: { domains: [example.test, deep.refused.example], users: [joe] }
filters:
  virus: { clamd: "unix:${clamd.at}" }
  spam: { rspamd: "http://127.0.0.1:${rspamd.http}", match: { not: { mailFrom: ["@trusted.example"] } } }
  assassin: { spamc: { servers: "127.0.0.1:${spamd.at}", reject-above: 100 } }
  hook:
    http: { servers: "http://127.0.0.1:${hook.port}/", stages: [rcpt, message], content: multipart, secret-file: "${hook.secretFile}" }
filtered-by: [virus, spam, assassin, hook]
`,
      });
      const send = (from: string, content: string, to = "joe@example.test"): Promise<string> =>
        sendMail(server.ports.smtp, { from, to, content });
      assert.match(await send("alice@example.net", MAIL), /^250/);
      const [mail = ""] = await server.waitForMails("joe", 1);
      assert.match(
        mail,
        /\nX-Test-Facts: ip=127\.0\.0\.1 helo=client\.test .*from=alice@example\.net to=joe@example\.test/,
      );
      assert.match(mail, /\nX-Spam-Status: No, score=/);
      assert.match(mail, /\nX-Recipients: 1\r?\n/);
      assert.match(await send("alice@example.net", `${MAIL}${EICAR}\n`), /^550 5\.7\.1 Virus found: /);
      assert.match(await send("alice@example.net", withField("X-Test-Score: 20")), /^550 5\.7\.1 /);
      assert.match(await send("a@trusted.example", withField("X-Test-Score: 20")), /^250 /);
      assert.match(await send("a@trusted.example", `${MAIL}${GTUBE}\n`), /^550 5\.7\.1 .*score 10/);
      assert.match(
        await send("alice@example.net", MAIL, "joe@deep.refused.example"),
        /^550 5\.7\.1 Nobody writes there/,
      );
      const program = MAIL.replace("\nSubject", '\nContent-Type: text/plain; name="a.exe"\nSubject');
      assert.match(await send("alice@example.net", program), /^250/);
      // A mail of some size goes through all of them, and comes out as it went in.
      const large = `${"0123456789".repeat(7)}\n`.repeat(20_000);
      assert.match(await send("a@trusted.example", `${MAIL}${large}`), /^250/);
      const mails = await server.waitForMails("joe", 3);
      assert.ok(mails.some((one) => one.replaceAll("\r\n", "\n").includes(large)));
      assert.ok(!mails.some((one) => one.includes("a.exe")), "mail in quarantine was delivered");

      // One of them dies: its mail waits, nothing is lost, and it goes on when it is there again.
      for (const { pid } of treeOf(hook.pid)) process.kill(pid, "SIGKILL");
      assert.match(await send("alice@example.net", MAIL), /^451/);
      await using again = await startHook("of this test", hook.port);
      assert.ok(again.port === hook.port);
      assert.match(await send("alice@example.net", MAIL), /^250/);
      await server.waitForMails("joe", 4);
      assert.equal(await server.stop(), 0);
    },
  );

interface RunningHook extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  readonly secretFile: string;
}

const EXAMPLE = fileURLToPath(new URL("../../docs/examples/http-hook.py", import.meta.url));

/** The manual's example of a hook. */
async function startHook(secret: string, atPort?: number): Promise<RunningHook> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-hook-"));
  const secretFile = join(folder, "secret");
  writeFileSync(secretFile, `${secret}\n`);
  const port = atPort ?? (await freePort());
  const child = spawn("/usr/bin/python3", [EXAMPLE, String(port), secretFile], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // It says when it listens.
  await once(child.stdout, "data");
  return {
    port,
    pid: child.pid ?? 0,
    secretFile,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await once(child, "close");
      }
      rmSync(folder, { recursive: true });
    },
  };
}
