import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { authenticateFilter } from "../../src/mail/filter/authentication/authenticate-filter.ts";
import { authenticateSettings } from "../../src/mail/filter/authentication/settings.ts";
import type { Filter, FilterFacts, FilterMail, MailVerdict } from "../../src/mail/filter/filter.ts";
import { wholeOf } from "../../src/mail/filter/kept-content.ts";
import { opensmtpdFilter } from "../../src/mail/filter/opensmtpd/opensmtpd-filter.io.ts";
import { processFilterSettings } from "../../src/mail/filter/opensmtpd/settings.ts";
import { zoneResolver } from "../../src/testing/dns-zone.ts";
import { testFacts, testFilterWorld, testMail } from "../../src/testing/filter-mail.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";
import { startRspamd } from "./rspamd.ts";
import { hasPeer } from "./running.ts";

const ROOT_OF_FILTERS = join(process.env["POSTHORN_PEERS"] ?? "/opt/posthorn-peers", "opensmtpd-filters", "usr");
const folder = mkdtempSync(join(tmpdir(), "posthorn-filters-"));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true, force: true }));

/** The command for one of Debian's filters, in its unpacked package. */
function commandOf(name: string, ...args: readonly string[]): string[] {
  const libraries = join(ROOT_OF_FILTERS, "lib", "x86_64-linux-gnu");
  return ["/usr/bin/env", `LD_LIBRARY_PATH=${libraries}`, join(ROOT_OF_FILTERS, "libexec", "opensmtpd", name), ...args];
}

/** A key that filter-dkimsign reads, and the record that the world finds. */
function signingKey(): { readonly path: string; readonly record: string } {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const path = join(folder, "dkim.pem");
  writeFileSync(path, privateKey.export({ type: "pkcs1", format: "pem" }), { mode: 0o644 });
  const record = `v=DKIM1; k=rsa; p=${publicKey.export({ type: "spki", format: "der" }).toString("base64")}`;
  return { path, record };
}

function start(t: TestContext, command: readonly string[], more: object = {}): { filter: Filter; told: string[] } {
  const world = testFilterWorld();
  const filter = opensmtpdFilter("peer", processFilterSettings.parse({ command: [...command], ...more }), world);
  t.after(() => filter.close());
  return { filter, told: world.told };
}

const long = (): AbortSignal => AbortSignal.timeout(60_000);

/** A mail in a session of its own, up to what the filter says of it. */
async function judged(filter: Filter, mail: FilterMail): Promise<MailVerdict> {
  const { facts } = mail;
  const none: FilterFacts = { ...facts, greeting: "none", helo: undefined, account: undefined, mail: undefined };
  const dialogue = filter.open(none);
  try {
    await dialogue.ask({ stage: "connect", facts: none }, long());
    dialogue.note?.({ notice: "mail", outcome: "ok", facts: { ...facts, mail: { ...facts.mail, recipients: [] } } });
    for (const { address } of facts.mail.recipients)
      dialogue.note?.({ notice: "rcpt", outcome: "ok", recipient: address, facts });
    const verdict = await dialogue.judge(mail, long());
    dialogue.note?.({ notice: "commit", message: "x", sizeBytes: mail.sizeBytes });
    return verdict;
  } finally {
    dialogue.end();
  }
}

async function contentOf(mail: FilterMail, verdict: MailVerdict): Promise<string> {
  let header = mail.header.toString();
  let body = (await wholeOf(mail.body.read())).toString();
  for (const edit of verdict.edits ?? []) {
    if (edit.edit === "replace-header") header = Buffer.from(edit.header).toString();
    if (edit.edit === "replace-body") body = (await wholeOf(edit.body.read())).toString();
  }
  return `${header}\r\n${body}`;
}

/** Has a signature of example.org that is good by the record. */
async function assertSigned(content: string, record: string): Promise<void> {
  const world = { ...testFilterWorld(), resolver: zoneResolver({ "sel._domainkey.example.org TXT": [record] }) };
  const verifier = authenticateFilter("auth", authenticateSettings.parse({}), world);
  const verified = await verifier.open(testFacts()).judge(testMail(content), long());
  const results = verified.edits?.map((edit) => ("value" in edit ? edit.value : "")).join("\n") ?? "";
  assert.match(results, /dkim=pass[^;]*header\.d=example\.org/s, results);
}

const TEXT = [
  "From: Alice <alice@example.org>",
  "To: bob@example.net",
  "Subject: signed",
  "Date: Sat, 21 Nov 2026 12:00:00 +0000",
  "",
  ".a line with a dot in front, and a | bar",
  "Grüße",
  "",
].join("\n");

test("Debian's filter-dkimsign signs mail, and the signature is good", async (t) => {
  if (!hasPeer("opensmtpd-filters", t)) return;
  const { path, record } = signingKey();
  for (const protocol of ["0.5", "0.6", "0.7"]) {
    const command = commandOf("filter-dkimsign", "-d", "example.org", "-s", "sel", "-k", path);
    const { filter, told } = start(t, command, { protocol });
    // Several in one program, at the same time and one after the other.
    const mails = [
      testMail(TEXT),
      testMail(TEXT.replace("signed", "another")),
      testMail(`${TEXT}${"long\n".repeat(30_000)}`),
    ];
    const verdicts = await Promise.all(mails.map((mail) => judged(filter, mail)));
    assert.deepEqual(told, []);
    for (const [at, mail] of mails.entries()) {
      const verdict = verdicts[at] ?? assert.fail();
      assert.deepEqual(
        verdict.edits?.map(({ edit }) => edit),
        ["replace-header"],
        protocol,
      );
      const content = await contentOf(mail, verdict);
      assert.match(content, /^DKIM-Signature: v=1; a=rsa-sha256; c=simple\/simple; s=sel; .*d=example\.org;/s);
      await assertSigned(content, record);
    }
    await filter.close();
  }
});

test("Debian's filter-rspamd knows the session, adds fields, and refuses what rspamd refuses", async (t) => {
  if (!hasPeer("opensmtpd-filters", t) || !hasPeer("rspamd", t)) return;
  // It knows fields as plain text only.
  const plain = `rspamd_config:register_symbol({ name = 'PLAIN', type = 'normal', score = 0, callback = function(task)
    task:set_milter_reply({ add_headers = { ['X-Plain'] = test_facts(task) } })
  end })`;
  await using rspamd = await startRspamd({ lua: plain });
  // It is of the time before 0.7: the account is where 0.6 has it.
  const command = commandOf("filter-rspamd", "-url", `http://127.0.0.1:${rspamd.http}`);
  const { filter, told } = start(t, command, { protocol: "0.6" });
  const facts = { account: "alice" };
  const good = testMail(TEXT, { facts });
  const content = await contentOf(good, await judged(filter, good));
  assert.match(content, /^X-Plain: ip=192\.0\.2\.99 helo=client\.example\.net/m);
  assert.match(content, /host=client\.example\.net user=alice from=alice@example\.net to=bob@example\.org/);
  assert.ok(content.endsWith(TEXT.slice(TEXT.indexOf("\n\n") + 2).replaceAll("\n", "\r\n")));

  const marked = testMail(`X-Test-Score: 7\n${TEXT}`, { facts });
  assert.match(await contentOf(marked, await judged(filter, marked)), /^X-Spam: yes\r\nX-Spam-Score: 7/m);

  const bad = testMail(`X-Test-Score: 20\n${TEXT}`, { facts });
  const refused = await judged(filter, bad);
  assert.ok(refused.fate.kind === "refuse" && refused.fate.reply.code === 550, JSON.stringify(refused.fate));

  const later = testMail(`X-Test-Action: soft reject\n${TEXT}`, { facts });
  const deferred = await judged(filter, later);
  assert.ok(deferred.fate.kind === "refuse" && deferred.fate.reply.code === 451, JSON.stringify(deferred.fate));
  assert.match(deferred.fate.reply.lines.join(" "), /Told by a test/);
  assert.deepEqual(told, []);
});

test("Debian's filter-rspamd without its rspamd defers mail, and goes on", async (t) => {
  if (!hasPeer("opensmtpd-filters", t)) return;
  const { filter } = start(t, commandOf("filter-rspamd", "-url", "http://127.0.0.1:9"));
  for (let mails = 0; mails < 2; mails++) {
    const verdict = await judged(filter, testMail(TEXT));
    // Its words: the client comes again, in another session.
    assert.ok(verdict.fate.kind === "refuse" && verdict.fate.reply.code === 421, JSON.stringify(verdict.fate));
  }
});

test("Debian's filter-senderscore, which finds no score without a network, lets sessions pass", async (t) => {
  if (!hasPeer("opensmtpd-filters", t)) return;
  const [program = "", ...args] = commandOf("filter-senderscore", "-blockBelow", "20", "-junkBelow", "50");
  // In a network of its own, so that nobody is asked about the client.
  const { filter } = start(t, ["/usr/bin/unshare", "--net", program, ...args]);
  const verdict = await judged(filter, testMail(TEXT));
  assert.deepEqual([verdict.fate, verdict.edits], [{ kind: "keep" }, []]);
});

test("a split server has its mail judged by Debian's filter-rspamd and then signed by filter-dkimsign", async (t) => {
  if (!hasPeer("opensmtpd-filters", t) || !hasPeer("rspamd", t)) return;
  const { path, record } = signingKey();
  await using rspamd = await startRspamd();
  const command = (...of: Parameters<typeof commandOf>): string => JSON.stringify(commandOf(...of));
  await using server = await startServer({
    layout: "split",
    readyWithinMs: 90_000,
    settings: `
local: { domains: [example.org], users: [joe] }
filters:
  rspamd: { process: { command: ${command("filter-rspamd", "-url", `http://127.0.0.1:${rspamd.http}`)}, protocol: "0.6" } }
  dkim: { process: ${command("filter-dkimsign", "-d", "example.org", "-s", "sel", "-k", path)} }
  both: { chain: [rspamd, dkim] }
filteredBy: [both]
`,
  });
  const envelope = { from: "alice@example.org", to: "joe@example.org" };
  const send = (content: string): Promise<string> => sendMail(server.ports.smtp, { ...envelope, content });
  assert.match(await send(`X-Test-Score: 7\n${TEXT}`), /^250 /);
  assert.match(await send(`X-Test-Score: 20\n${TEXT}`), /^550 5\.7\.1 /);
  assert.match(await send(TEXT), /^250 /);
  const mails = await server.waitForMails("joe", 2);
  assert.equal(mails.filter((mail) => /^X-Spam: yes\r?$/m.test(mail)).length, 1);
  for (const mail of mails) {
    const text = Buffer.from(mail, "latin1").toString();
    await assertSigned(text.slice(text.indexOf("DKIM-Signature:")), record);
  }
  assert.equal(await server.stop(), 0);
});
