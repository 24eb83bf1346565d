import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createKeyFinder } from "../../../protocol/authentication/key-finder.ts";
import { rawFields } from "../../../protocol/authentication/raw-fields.ts";
import { verifyMessage } from "../../../protocol/authentication/verify-message.ts";
import { markReceived } from "../../../protocol/message/own-received.ts";
import { formatReceived, type ReceivedFacts } from "../../../protocol/message/received-field.ts";
import { signingKeeper } from "../../../service/signing/signing-keys.io.ts";
import { inlineTable } from "../../../service/table/tables.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import type { FilterMail } from "../filter.ts";
import { applyEdits } from "../header-edits.ts";
import { signFilter } from "./sign-filter.ts";
import { signSettings, type SignSettings } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-sign-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const write = (name: string, key: KeyObject): string => {
  const file = join(folder, name);
  writeFileSync(file, key.export({ type: "pkcs8", format: "pem" }));
  return file;
};
const rsaFile = write("rsa.pem", rsa.privateKey);
const edFile = write("ed.pem", ed25519.privateKey);
mkdirSync(join(folder, "keys"));
write("keys/table.pem", ed25519.privateKey);

const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
const rsaRecord = `v=DKIM1; p=${spki(rsa.publicKey).toString("base64")}`;
const edRecord = `v=DKIM1; k=ed25519; p=${spki(ed25519.publicKey).subarray(-32).toString("base64")}`;
const zone = zoneResolver({
  "r._domainkey.example.org TXT": [rsaRecord],
  "e._domainkey.example.org TXT": [edRecord],
  "t._domainkey.example.com TXT": [edRecord],
});

const settingsOf = (written: object): SignSettings =>
  signSettings.parse({
    keys: [
      { domain: "example.org", selector: "r", key: rsaFile },
      { domain: "example.org", selector: "e", key: edFile },
    ],
    ...written,
  });

/** An authenticate filter has judged it. */
const BY_US = { mail: { resultsOf: ["mx.example.org"] } };

async function signedMail(mail: FilterMail, written: object = {}) {
  const settings = settingsOf(written);
  const table = inlineTable("keys", {
    kind: "map",
    entries: { "example.com": "t:table.pem", "evil.example": "t:../rsa.pem", "odd.example": "nonsense" },
  });
  const signing = signingKeeper(new Map([["sign", settings]]), (name) => (name === "keys" ? table : undefined));
  const filter = signFilter("sign", settings, testFilterWorld({ resolver: zone, signing }));
  const verdict = await filter.open(mail.facts).judge(mail, AbortSignal.timeout(20_000));
  const header = applyEdits(mail.header, verdict.edits ?? []).header;
  const results = await verifyMessage(
    { fields: rawFields(header), body: () => mail.body.read() },
    createKeyFinder(zone)(),
    { mostSignatures: 10, acceptPartial: false, nowSeconds: Math.floor(Date.now() / 1000) },
  );
  return { verdict, header: header.toString(), ...results };
}

const own = { facts: { account: "alice" } };
const message = (from: string): string =>
  `From: ${from}\r\nTo: b@example.net\r\nSubject: hi\r\nDate: now\r\n\r\nHello \r\n\r\n`;

test("mail of our own bears a signature by each key of its domain, and they verify", async () => {
  const got = await signedMail(testMail(message("Alice <alice@example.org>"), own));
  assert.deepEqual(got.dkim.map(({ result, selector }) => `${selector} ${result}`).toSorted(), ["e pass", "r pass"]);
  assert.doesNotMatch(got.header, /\bl=/);
  for (const line of got.header.split("\r\n")) assert.ok(line.length <= 78, line);
});

test("what is signed is what leaves: a NUL does so in binary mail only", async () => {
  const odd = message("alice@example.org").replace("Hello", "Hel\0lo").replace("hi", "h\0i");
  const leaving = async (body: "8BITMIME" | "BINARYMIME"): Promise<readonly string[]> => {
    const mail = testMail(odd, { ...own, mail: { body } });
    const { header } = await signedMail(mail);
    const sent =
      body === "BINARYMIME" ? `${header}\r\nHel\0lo \r\n\r\n` : `${header}\r\nHello \r\n\r\n`.replaceAll("\0", "");
    const { header: fields, body: content } = testMail(sent);
    const { dkim } = await verifyMessage(
      { fields: rawFields(fields), body: () => content.read() },
      createKeyFinder(zone)(),
      { mostSignatures: 10, acceptPartial: false, nowSeconds: Math.floor(Date.now() / 1000) },
    );
    return dkim.map(({ result }) => result);
  };
  assert.deepEqual(await leaving("8BITMIME"), ["pass", "pass"]);
  assert.deepEqual(await leaving("BINARYMIME"), ["pass", "pass"]);
});

test("what is sealed is what leaves: a seal over mail with a NUL holds at the next host, whatever chain it continues", async () => {
  const odd = `Authentication-Results: mx.example.org; dmarc=none\r\n${message("carol@example.net")}`.replace(
    "Hello",
    "Hel\0lo",
  );
  const sealing = { seal: "example.org" };
  const first = await signedMail(testMail(odd, BY_US), sealing);
  const left = `${first.header}\r\nHello \r\n\r\n`;
  const arrived = testMail(left);
  const { arc } = await verifyMessage(
    { fields: rawFields(arrived.header), body: () => arrived.body.read() },
    createKeyFinder(zone)(),
    { mostSignatures: 10, acceptPartial: false, nowSeconds: Math.floor(Date.now() / 1000) },
  );
  assert.equal(arc.result, "pass", arc.because);
});

test("simple forms and a time to live are signed as well", async () => {
  const got = await signedMail(testMail(message("alice@example.org"), own), {
    header: "simple",
    body: "simple",
    expires: "7d",
  });
  assert.deepEqual(
    got.dkim.map(({ result }) => result),
    ["pass", "pass"],
  );
  assert.match(got.header, /; x=\d+;/);
});

test("a subdomain is signed for by the domain above, unless that is not wanted", async () => {
  const mail = testMail(message("root@host.example.org"), own);
  const got = await signedMail(mail);
  assert.deepEqual(
    got.dkim.map(({ identity }) => identity),
    ["@host.example.org", "@host.example.org"],
  );
  assert.equal((await signedMail(mail, { subdomains: false })).dkim.length, 0);
});

test("strangers get no signature, whatever their From says; nor do mails of several authors or other domains", async () => {
  assert.equal((await signedMail(testMail(message("alice@example.org")))).dkim.length, 0);
  assert.equal((await signedMail(testMail(message("a@example.org, b@example.net"), own))).dkim.length, 0);
  assert.equal((await signedMail(testMail(message("a@example.net"), own))).dkim.length, 0);
});

test("what a content filter hands back is signed only where it was ours before", async () => {
  const back = async (received: Partial<ReceivedFacts>, filters = ["content-filter:smtp"]): Promise<number> => {
    const trace = formatReceived({
      helo: "host.example",
      clientAddress: "203.0.113.9",
      by: "mail.example.org",
      protocol: "ESMTPS",
      id: "4XK1",
      at: 0,
      offsetMinutes: 0,
      ...received,
    });
    const between = "Received: from localhost by localhost (spampd)\r\n";
    const text = between + markReceived(trace, filters) + message("alice@example.org");
    return (await signedMail(testMail(text, { facts: { client: { address: "127.0.0.1" } } }))).dkim.length;
  };
  assert.equal(await back({}), 0, "a stranger's");
  assert.equal(await back({ helo: "x (localhost [127.0.0.1])" }), 0, "a stranger's with an odd name");
  assert.equal(await back({ helo: "[127.0.0.1]", clientName: "(x [127.0.0.1])" }), 0);
  assert.equal(await back({ protocol: "ESMTPSA" }), 2, "of somebody who had logged in");
  assert.equal(await back({ clientAddress: "127.0.0.1" }), 2, "of a program of this host");
  assert.equal(await back({ clientAddress: undefined, helo: undefined }), 2, "by sendmail");
  assert.equal(await back({}, []), 2, "a program of this host passes on what it once got");
});

test("keys come from a table too, and it can't lead out of its folder", async () => {
  const written = { keys: [], keyTable: "table:keys", keyFolder: join(folder, "keys") };
  assert.deepEqual(
    (await signedMail(testMail(message("a@example.com"), own), written)).dkim.map(({ result }) => result),
    ["pass"],
  );
  await assert.rejects(signedMail(testMail(message("a@evil.example"), own), written), {
    code: "FILTER_FAILED",
    message: /not below the key folder/,
  });
  await assert.rejects(signedMail(testMail(message("a@odd.example"), own), written), { code: "FILTER_FAILED" });
});

test("a key that is gone fails the filter: nothing goes out unsigned", async () => {
  const written = { keys: [{ domain: "example.org", selector: "r", key: join(folder, "gone.pem") }] };
  await assert.rejects(signedMail(testMail(message("a@example.org"), own), written), {
    code: "FILTER_FAILED",
    message: /gone\.pem/,
  });
});

test("mail of others is sealed once it was judged, one set behind the other, and never before", async () => {
  const results = "Authentication-Results: mx.example.org;\r\n\tdmarc=pass header.from=example.net\r\n";
  const text = results + message("carol@example.net");
  const unjudged = await signedMail(testMail(text), { seal: "example.org" });
  assert.equal(unjudged.arc.result, "none");
  // Judged in another name: what stands there in this one is a stranger's.
  const other = { facts: { tags: ["dmarc=pass"] }, mail: { resultsOf: ["other.example"] } };
  assert.equal((await signedMail(testMail(text, other), { seal: "example.org" })).arc.result, "none");
  const judged = { facts: { tags: ["dmarc=pass"] }, ...BY_US };
  const first = await signedMail(testMail(text, judged), { seal: "example.org" });
  assert.equal(first.arc.result, "pass");
  assert.match(first.header, /^ARC-Seal: i=1; a=rsa-sha256; cv=none;/);
  assert.match(first.header, /^ARC-Authentication-Results: i=1; mx\.example\.org;/m);
  const second = await signedMail(testMail(`${results}${first.header}\r\nHello \r\n\r\n`, judged), {
    seal: "example.org",
  });
  assert.equal(second.arc.result, "pass");
  assert.equal(second.arc.sets.length, 2);
});

test("a chain that was whole when the mail came is sealed as whole, whatever our own filters have changed since", async () => {
  const results = "Authentication-Results: mx.example.org;\r\n\tdmarc=pass header.from=example.net\r\n";
  const judged = (...tags: string[]) => ({ facts: { tags: ["dmarc=pass", ...tags] }, ...BY_US });
  const first = await signedMail(testMail(results + message("carol@example.net"), judged()), { seal: "example.org" });
  const marked = `${results}${first.header.replace("Subject: hi", "Subject: [spam?] hi")}\r\nHello \r\n\r\n`;
  const second = await signedMail(testMail(marked, judged("arc=pass")), { seal: "example.org" });
  assert.match(second.header, /^ARC-Seal: i=2; a=rsa-sha256; cv=pass;/);
  assert.equal(second.arc.result, "pass");
  // Broken on its way to us, it stays broken.
  const broken = await signedMail(testMail(marked, judged("arc=fail")), { seal: "example.org" });
  assert.match(broken.header, /^ARC-Seal: i=2; a=rsa-sha256; cv=fail;/);
});

test("what several filters of this server found out is sealed together", async () => {
  const results =
    "Authentication-Results: mx.example.org;\r\n\tdmarc=pass header.from=example.net\r\n" +
    "Authentication-Results: other.example; spf=pass\r\n" +
    "Authentication-Results: mx.example.org; dkim=pass header.d=example.net\r\n";
  const mail = testMail(results + message("carol@example.net"), BY_US);
  const { header, arc } = await signedMail(mail, { seal: "example.org" });
  assert.equal(arc.result, "pass");
  assert.match(
    header.replaceAll("\r\n\t", " "),
    /^ARC-Authentication-Results: i=1; mx\.example\.org; dmarc=pass header\.from=example\.net; dkim=pass header\.d=example\.net\r\n/m,
  );
});

test("results with names in UTF-8 are sealed as they stand there, and what is no UTF-8 is not sealed", async () => {
  const results = "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=zo\u00eb@example.net\r\n";
  const mail = testMail(results + message("carol@example.net"), BY_US);
  const { header, arc } = await signedMail(mail, { seal: "example.org" });
  assert.equal(arc.result, "pass");
  assert.ok(header.includes("ARC-Authentication-Results: i=1; mx.example.org; spf=pass smtp.mailfrom=zo\u00eb@"));
  const broken = { ...mail, header: Buffer.from(mail.header.toString("utf8"), "latin1") };
  assert.equal((await signedMail(broken, { seal: "example.org" })).arc.result, "none");
});
