/** Debian's milters, each on loopback, with our side as a session shows it to them. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { EICAR, EICAR_NAME, startClamd } from "./clamd.ts";
import {
  startClamavMilter,
  startOpendkim,
  startPythonMilter,
  startSpamassMilter,
  type RunningMilter,
} from "./milters.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { hasPeer } from "./running.ts";
import { GTUBE, startSpamd } from "./spamd.ts";
import { throughFilters } from "./through-filters.ts";

const MAIL = [
  "From: Alice <alice@example.net>",
  "To: bob@example.org",
  "Subject: A folded",
  "\tsubject",
  "Date: Sat, 21 Nov 2026 12:00:00 +0000",
  "Message-ID: <one@example.net>",
  "",
  "Some text.",
  "",
].join("\n");

const withField = (field: string): string => `${field}\n${MAIL}`;

for (const listens of ["port", "path"] as const)
  test(`libmilter's whole language, as Python speaks it, at a ${listens}`, { timeout: 120_000 }, async (t) => {
    if (!hasPeer("milters", t)) return;
    await using milter = await startPythonMilter({ listens });
    await using session = await throughFilters({ python: { milter: milter.address } });

    const plain = await session.mail(MAIL);
    assert.equal(plain.fate, "keep");
    const [own = "", told = ""] = /^(.*?)X-Told: (.*?)\r\n\r\n/s.exec(plain.text)?.slice(1) ?? [];
    assert.equal(own, MAIL.slice(0, MAIL.indexOf("\n\n") + 1).replaceAll("\n", "\r\n"));
    assert.match(told, /\(\('client\.example\.net', \('192\.0\.2\.99', 40000\)\), 'client\.example\.net'/);
    assert.match(told, /\('from', '<alice@example\.net>'\), \('to', '<bob@example\.org>'\)\], 12,/);
    assert.match(told, /\('j', 'mx\.example\.org'\), \('_', 'client\.example\.net \[192\.0\.2\.99\]'\)/);
    assert.match(told, /\('i', '3f8Q0000000000001'\), \('\{client_addr\}', '192\.0\.2\.99'\)/);
    assert.match(told, /\('\{daemon_name\}', 'smtp'\), \('\{mail_addr\}', 'alice@example\.net'\)/);

    const header = await session.mail(withField("X-Do: header"));
    assert.match(header.text, /^X-First: at the top\r\nFrom: Alice/);
    assert.match(header.text, /\r\nSubject: changed\r\nDate:/);
    assert.match(header.text, /\r\nX-Last: one\r\n\ttwo\r\nX-Told:/);
    assert.doesNotMatch(header.text, /X-Do/);

    const body = await session.mail(withField("X-Do: body"));
    assert.equal(body.text.slice(body.text.indexOf("\r\n\r\n") + 4), `a new\r\nbody\r\n${"x".repeat(200_000)}\r\n`);

    const sender = await session.mail(withField("X-Do: sender"));
    assert.equal(sender.sender, "changed@example.net");
    const recipients = await session.mail(withField("X-Do: recipients"));
    assert.deepEqual([recipients.added, recipients.removed], [["added@example.org"], ["bob@example.org"]]);
    const quarantine = await session.mail(withField("X-Do: quarantine"));
    assert.equal(quarantine.fate, "quarantine");
    assert.ok(quarantine.told.includes("python quarantine (asked for)"), quarantine.told.join("\n"));
    assert.equal((await session.mail(withField("X-Do: discard"))).fate, "discard");
    assert.equal((await session.mail(withField("X-Do: tempfail"))).reply?.slice(0, 9), "451 4.7.1");
    const reply = await session.mail(withField("X-Do: reply"));
    assert.deepEqual([reply.stage, reply.reply], ["message", "554 5.7.1 First line 100% second"]);
    const refused = await session.mail(MAIL, { to: ["refused@example.org"] });
    assert.deepEqual([refused.stage, refused.reply], ["rcpt", "550 5.1.1 Not this one"]);
    assert.equal((await session.mail(MAIL)).fate, "keep");
  });

test("a milter that says that it works on it is waited for", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("milters", t)) return;
  await using milter = await startPythonMilter();
  await using session = await throughFilters({
    python: { milter: { address: milter.address, contentTimeout: "3s" }, messageTimeout: "1m" },
  });
  // Four times a second.
  assert.equal((await session.mail(withField("X-Do: progress"))).fate, "keep");
});

for (const [onFailure, expected] of [
  ["defer", "451"],
  ["accept", "keep"],
  ["reject", "554"],
] as const)
  test(`a milter that dies in the middle of a mail, and ${onFailure}`, { timeout: 180_000 }, async (t) => {
    if (!hasPeer("milters", t)) return;
    await using milter = await startPythonMilter();
    await using session = await throughFilters({ python: { milter: milter.address, onFailure } });
    assert.equal((await session.mail(MAIL)).fate, "keep");
    const died = await session.mail(withField("X-Do: die"));
    assert.equal(died.reply?.slice(0, 3) ?? died.fate, expected);
    assert.match(
      died.told.join("\n"),
      /python failed \(the milter python at inet:127\.0\.0\.1:\d+ (?:closed|broke) the connection/,
    );
    const after = await session.mail(MAIL);
    assert.equal(after.reply?.slice(0, 3) ?? after.fate, expected);
    // Its port may still be taking connections while it ends.
    assert.match(after.told.join("\n"), /can't be reached|broke the connection|closed the connection/);
    if (onFailure === "accept") assert.equal(after.text, MAIL.replaceAll("\n", "\r\n"));
  });

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "der" },
});

function opendkim(listens: "port" | "path"): Promise<RunningMilter> {
  return startOpendkim({
    listens,
    domain: "example.net",
    selector: "test",
    privateKey,
    publicKeys: { "test._domainkey.example.net": `v=DKIM1; k=rsa; p=${publicKey.toString("base64")}` },
  });
}

test(
  "opendkim signs what is submitted, verifies what comes, and refuses what was changed",
  { timeout: 120_000 },
  async (t) => {
    if (!hasPeer("milters", t)) return;
    await using milter = await opendkim("path");
    const filters = (name: string) => ({
      dkim: { milter: { address: milter.address, macros: { daemon_name: name } } },
    });
    await using submission = await throughFilters(filters("ORIGINATING"), { account: "alice", mechanism: "PLAIN" });
    const signed = await submission.mail(MAIL);
    assert.equal(signed.fate, "keep");
    assert.match(signed.text, /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/simple; d=example\.net; s=test;\r\n\t/);
    assert.ok(signed.text.endsWith(MAIL.slice(MAIL.indexOf("From:")).replaceAll("\n", "\r\n")));

    await using reception = await throughFilters(filters("smtp"));
    const good = await reception.mail(signed.text);
    assert.equal(good.fate, "keep");
    assert.match(good.text, /^Authentication-Results: mx\.example\.org;\r\n\tdkim=pass /);
    const bad = await reception.mail(signed.text.replace("Some text", "Other text"));
    assert.equal(bad.stage, "message");
    assert.match(bad.reply ?? "", /^5\d\d /);
    const none = await reception.mail(MAIL);
    assert.match(none.text, /^Authentication-Results: mx\.example\.org; dkim=none/);
  },
);

test("clamav-milter refuses what clamd finds, or wants it in quarantine", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("milters", t) || !hasPeer("clamav", t)) return;
  await using clamd = await startClamd();
  await using refusing = await startClamavMilter({ listens: "path", clamd: Number(clamd.at) });
  await using keeping = await startClamavMilter({ clamd: Number(clamd.at), onInfected: "Quarantine" });

  await using first = await throughFilters({ clamav: { milter: refusing.address } });
  const clean = await first.mail(MAIL);
  assert.equal(clean.fate, "keep");
  assert.match(clean.text, /\r\nX-Virus-Status: Clean\r\n/);
  const infected = await first.mail(`${MAIL}${EICAR}\n`);
  assert.deepEqual([infected.stage, infected.reply], ["message", `550 5.7.1 Virus found: ${EICAR_NAME}`]);
  assert.equal((await first.mail(MAIL)).fate, "keep");

  await using second = await throughFilters({ clamav: { milter: keeping.address } });
  assert.equal((await second.mail(`${MAIL}${EICAR}\n`)).fate, "quarantine");
});

test("spamass-milter marks mail, and refuses what spamd is sure of", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("milters", t) || !hasPeer("spamassassin", t)) return;
  await using spamd = await startSpamd();
  await using milter = await startSpamassMilter({ spamd: Number(spamd.at), refusesAt: 15 });
  await using session = await throughFilters({ spam: { milter: milter.address } });
  const normal = await session.mail(MAIL);
  assert.equal(normal.fate, "keep");
  assert.match(normal.text, /\r\nX-Spam-Status: No, score=/);
  assert.match(normal.text, /\r\nX-Spam-Checker-Version: SpamAssassin 4/);
  const spam = await session.mail(`${MAIL}${GTUBE}\n`);
  assert.deepEqual([spam.stage, spam.reply?.slice(0, 9)], ["message", "550 5.7.1"]);
  assert.equal((await session.mail(MAIL)).fate, "keep");
});

test(
  "several milters in a row: each sees what the one before it did, and any may refuse",
  { timeout: 180_000 },
  async (t) => {
    if (!hasPeer("milters", t) || !hasPeer("clamav", t)) return;
    await using clamd = await startClamd();
    await using clamav = await startClamavMilter({ clamd: Number(clamd.at) });
    await using python = await startPythonMilter({ listens: "path" });
    await using dkim = await opendkim("port");
    const filters = {
      clamav: { milter: clamav.address },
      python: { milter: python.address },
      dkim: { milter: { address: dkim.address, macros: { daemon_name: "ORIGINATING" } } },
    };
    await using session = await throughFilters(filters, { account: "alice", mechanism: "PLAIN" });
    const through = await session.mail(withField("X-Do: body"));
    assert.equal(through.fate, "keep");
    assert.match(through.text, /^DKIM-Signature: /);
    assert.match(through.text, /\r\nX-Virus-Status: Clean\r\n/);
    assert.match(through.text, /\r\n\r\na new\r\nbody\r\nxxx/);

    // The signature is about the mail as the milters before left it.
    await using verifying = await throughFilters({ dkim: { milter: dkim.address } });
    assert.match((await verifying.mail(through.text)).text, /dkim=pass/);

    const infected = await session.mail(`${MAIL}${EICAR}\n`);
    assert.equal(infected.reply?.slice(0, 3), "550");
    const refused = await session.mail(withField("X-Do: reply"));
    assert.equal(refused.reply?.slice(0, 3), "554");
    assert.equal((await session.mail(MAIL)).fate, "keep");
  },
);

for (const layout of LAYOUTS)
  test(
    `a server with opendkim, clamav-milter and spamass-milter in a row (${layout})`,
    { timeout: 240_000 },
    async (t) => {
      if (!hasPeer("milters", t) || !hasPeer("clamav", t) || !hasPeer("spamassassin", t)) return;
      await using clamd = await startClamd();
      await using spamd = await startSpamd();
      await using clamav = await startClamavMilter({ listens: "path", clamd: Number(clamd.at) });
      await using spam = await startSpamassMilter({ spamd: Number(spamd.at), refusesAt: 15 });
      await using dkim = await opendkim("port");
      await using server = await startServer({
        layout,
        // Two scanners have just begun to read their rules.
        readyWithinMs: 120_000,
        settings: `
local: { domains: [example.test], users: [joe] }
filters:
  clamav: { milter: "${clamav.address}" }
  spam: { milter: "${spam.address}" }
  verify: { milter: "${dkim.address}", match: { not: { mailFrom: ["@example.net"] } } }
  sign:
    milter: { address: "${dkim.address}", macros: { daemon_name: ORIGINATING } }
    match: { mailFrom: ["@example.net"] }
filtered-by: [clamav, spam, verify, sign]
`,
      });
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      await client.say("EHLO client.test");
      const send = async (from: string, text: string): Promise<string> => {
        assert.match(await client.say(`MAIL FROM:<${from}>`), /^250/);
        assert.match(await client.say("RCPT TO:<joe@example.test>"), /^250/);
        assert.match(await client.say("DATA"), /^354/);
        return client.say(`${text.replace(/\r?\n/g, "\r\n")}.`);
      };
      assert.match(await send("alice@example.net", MAIL), /^250/);
      const [signed = ""] = await server.waitForMails("joe", 1);
      const content = signed.slice(signed.indexOf("DKIM-Signature: "));
      assert.match(content, /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/simple; d=example\.net; s=test;/);
      assert.match(content, /\nX-Virus-Status: Clean\r?\n/);
      assert.match(content, /\nX-Spam-Status: No, score=/);

      // The client goes on as another server that passes the signed mail on.
      assert.match(await send("list@example.com", content), /^250/);
      const mails = await server.waitForMails("joe", 2);
      const verified = mails.find((mail) => mail !== signed) ?? "";
      assert.match(verified, /\nAuthentication-Results: mx\.example\.org;\r?\n\tdkim=pass /);

      assert.match(await send("list@example.com", content.replace("Some text", "Other text")), /^5\d\d /);
      assert.match(await send("alice@example.net", `${MAIL}${EICAR}\n`), /^550 5\.7\.1 Virus found: /);
      assert.match(await send("alice@example.net", `${MAIL}${GTUBE}\n`), /^550 5\.7\.1 /);
      assert.match(await send("alice@example.net", MAIL), /^250/);
      await server.waitForMails("joe", 3);
      assert.equal(await server.stop(), 0);
    },
  );
