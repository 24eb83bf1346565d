import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { BodyHash } from "../../../protocol/authentication/body-hashes.ts";
import { signDkim } from "../../../protocol/authentication/dkim-sign.ts";
import { rawFields } from "../../../protocol/authentication/raw-fields.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { testFacts, testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import type { FilterMail, MailVerdict } from "../filter.ts";
import { filterMail } from "../filter-mail.ts";
import { keptInMemory } from "../kept-content.ts";
import { applyEdits } from "../header-edits.ts";
import { authenticateFilter } from "./authenticate-filter.ts";
import type { DmarcObservation } from "./dmarc-observation.ts";
import { authenticateSettings } from "./settings.ts";

const key = generateKeyPairSync("ed25519");
const record = `v=DKIM1; k=ed25519; p=${key.publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64")}`;
const zone = {
  "example.net TXT": ["v=spf1 ip4:192.0.2.99 -all"],
  "s._domainkey.example.net TXT": [record],
  "_dmarc.example.net TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@example.net"],
};
const MESSAGE = "From: Alice <alice@example.net>\r\nTo: bob@example.org\r\nSubject: hi\r\n\r\nHello.\r\n";

function signed(message: string): string {
  const header = message.slice(0, message.indexOf("\r\n\r\n") + 2);
  const hash = new BodyHash("relaxed", undefined);
  hash.update(Buffer.from(message.slice(header.length + 2)));
  hash.finish();
  const value = signDkim(
    rawFields(header),
    hash.digest,
    { domain: "example.net", selector: "s", kind: "ed25519", key: key.privateKey },
    { header: "relaxed", body: "relaxed", sign: ["to", "subject"], oversign: ["from"], atSeconds: 1 },
  );
  return `DKIM-Signature:${value}\r\n${message}`;
}

async function judged(
  mail: FilterMail,
  written: unknown = {},
  records: Parameters<typeof zoneResolver>[0] = zone,
): Promise<MailVerdict & { readonly header: string; readonly observed: readonly DmarcObservation[] }> {
  const observed: DmarcObservation[] = [];
  const world = testFilterWorld({
    resolver: zoneResolver(records),
    observeDmarc: (observation) => void observed.push(observation),
  });
  const filter = authenticateFilter("auth", authenticateSettings.parse(written), world);
  const verdict = await filter.open(mail.facts).judge(mail, AbortSignal.timeout(10_000));
  return { ...verdict, header: applyEdits(mail.header, verdict.edits ?? []).header.toString(), observed };
}

const refusal = ({ fate }: MailVerdict): string => (fate.kind === "refuse" ? replyText(fate.reply) : fate.kind);
const fromElsewhere = { facts: { client: { address: "203.0.113.5" } } };

test("mail that is what it says passes by SPF and DKIM, and says so on top", async () => {
  const got = await judged(testMail(signed(MESSAGE)));
  assert.equal(got.fate.kind, "keep");
  assert.deepEqual(got.tags, ["spf=pass", "spf-helo=none", "dkim=pass", "dmarc=pass"]);
  assert.equal(got.resultsOf, "mx.example.org");
  const [first = ""] = got.header.split(/\r\n(?![ \t])/);
  assert.match(first, /^Authentication-Results: mx\.example\.org;/);
  assert.match(first, /dkim=pass .*header\.d=example\.net/s);
  assert.match(first, /spf=pass .*smtp\.mailfrom=alice@example\.net/s);
  assert.match(first, /dmarc=pass \(p=reject dis=none\)\s+header\.from=example\.net/s);
});

test("mail that fails DMARC is refused, quarantined or kept as the settings say", async () => {
  const mail = testMail(MESSAGE, fromElsewhere);
  assert.match(refusal(await judged(mail)), /^550 5\.7\.26 /);
  assert.equal(refusal(await judged(mail, { dmarc: "none" })), "keep");
  assert.equal(refusal(await judged(mail, { dmarc: "quarantine" })), "quarantine");
  const lenient = { ...zone, "_dmarc.example.net TXT": ["v=DMARC1; p=quarantine"] };
  assert.equal(refusal(await judged(mail, {}, lenient)), "quarantine");
  assert.match(refusal(await judged(mail, { dmarc: "reject" }, lenient)), /^550 /);
  assert.equal(
    refusal(await judged(mail, { dmarc: "reject" }, { ...zone, "_dmarc.example.net TXT": ["v=DMARC1; p=none"] })),
    "keep",
  );
});

test("a signature that survived forwarding is enough", async () => {
  const got = await judged(testMail(signed(MESSAGE), fromElsewhere));
  assert.equal(got.fate.kind, "keep");
  assert.deepEqual(got.tags, ["spf=fail", "spf-helo=none", "dkim=pass", "dmarc=pass"]);
});

test("SPF alone refuses only where that is wanted", async () => {
  const mail = testMail(signed(MESSAGE), fromElsewhere);
  assert.match(refusal(await judged(mail, { spf: { onFail: "reject" } })), /^550 5\.7\.23 example\.net says/);
  assert.equal(refusal(await judged(mail, { spf: { onFail: "quarantine" } })), "quarantine");
});

test("a DNS that fails lets mail pass or come again, as the settings say", async () => {
  const failing = { ...zone, "_dmarc.example.net TXT": "fail" as const };
  const mail = testMail(MESSAGE);
  const got = await judged(mail, {}, failing);
  assert.equal(got.fate.kind, "keep");
  assert.match(got.header, /dmarc=temperror/);
  assert.match(refusal(await judged(mail, { onTemporary: "defer" }, failing)), /^451 4\.4\.3 /);
});

test("a name in HELO that can't be looked up makes nobody come again who would be let in whatever it says", async () => {
  const failing = { ...zone, "mail.example.net TXT": "fail" as const };
  const known = testMail(MESSAGE, { facts: { helo: "mail.example.net" } });
  const got = await judged(known, { onTemporary: "defer" }, failing);
  assert.equal(refusal(got), "keep");
  assert.ok(got.tags?.includes("spf-helo=temperror"));
  assert.match(refusal(await judged(known, { onTemporary: "defer", spf: { onHeloFail: "reject" } }, failing)), /^451 /);
  const bounce = testMail(MESSAGE, { mail: { sender: "" }, facts: { helo: "mail.example.net" } });
  assert.match(refusal(await judged(bounce, { onTemporary: "defer" }, failing)), /^451 /);
});

test("of mail in the names of too many domains no policy is told that nobody published", async () => {
  const from = Array.from({ length: 12 }, (_, at) => `a@d${at}.example`).join(", ");
  const got = await judged(testMail(`From: ${from}\r\n\r\nhi\r\n`, fromElsewhere));
  assert.equal(refusal(got), "550 5.7.26 From names more than 10 domains, and so nobody's");
  const kept = await judged(testMail(`From: ${from}\r\n\r\nhi\r\n`, fromElsewhere), { dmarc: "none" });
  assert.match(kept.header, /dmarc=fail \(From names more than 10 domains\)/);
});

test("fields in our name are taken out, whoever sends them, and others' stay", async () => {
  const forged =
    'Authentication-Results: other.example; spf=fail\r\nAuthentication-Results: (x) MX.example.org 1; dmarc=pass\r\nAuthentication-Results: "mx.example.org"; spf=pass\r\n';
  const fromUser = await judged(testMail(forged + MESSAGE, { facts: { account: "alice" } }));
  assert.equal(fromUser.header.match(/^Authentication-Results:/gm)?.length, 1);
  assert.match(fromUser.header, /^Authentication-Results: other\.example;/m);
  assert.equal(fromUser.tags, undefined);
  assert.equal(fromUser.resultsOf, undefined);
  const fromOutside = await judged(testMail(forged + MESSAGE));
  assert.equal(fromOutside.header.match(/^Authentication-Results:/gm)?.length, 2);
  assert.doesNotMatch(fromOutside.header, /MX\.example\.org/);
});

test("a bounce is judged by the name in HELO", async () => {
  const mail = testMail(MESSAGE, { mail: { sender: "" }, facts: { helo: "mail.example.net" } });
  const got = await judged(
    mail,
    {},
    { ...zone, "mail.example.net TXT": ["v=spf1 a -all"], "mail.example.net A": ["192.0.2.99"] },
  );
  assert.deepEqual(got.tags, ["spf-helo=pass", "dkim=none", "dmarc=pass"]);
});

test("SPF at RCPT refuses before the content comes, and is not asked again for it", async () => {
  const resolver = zoneResolver(zone);
  const filter = authenticateFilter(
    "auth",
    authenticateSettings.parse({ spf: { at: "rcpt", onFail: "reject", helo: false } }),
    testFilterWorld({ resolver }),
  );
  const recipient = { address: "bob@example.org", parameters: [] };
  const bad = testFacts({ client: { address: "203.0.113.5" } }, { recipients: [] });
  const refused = await filter.open(bad).ask({ stage: "rcpt", facts: bad, recipient }, AbortSignal.timeout(5000));
  assert.equal(refused.kind, "refuse");
  const good = testFacts({}, { recipients: [] });
  const dialogue = filter.open(good);
  assert.equal(
    (await dialogue.ask({ stage: "rcpt", facts: good, recipient }, AbortSignal.timeout(5000))).kind,
    "proceed",
  );
  await dialogue.judge(testMail(MESSAGE), AbortSignal.timeout(5000));
  assert.equal(resolver.asked.filter((asked) => asked === "example.net TXT").length, 2);
});

test("what a domain's report needs is told where reports are wanted, and nothing of the recipient", async () => {
  const got = await judged(testMail(signed(MESSAGE), fromElsewhere), { reports: true });
  const [observation] = got.observed;
  assert.equal(observation?.domain, "example.net");
  assert.deepEqual([observation?.dkim, observation?.spf, observation?.disposition], ["pass", "fail", "none"]);
  assert.doesNotMatch(JSON.stringify(observation), /bob/);
  assert.deepEqual((await judged(testMail(MESSAGE))).observed, []);
});

test("an abandoned question ends, whatever the DNS does", async () => {
  const mail = testMail(MESSAGE);
  const filter = authenticateFilter(
    "auth",
    authenticateSettings.parse({}),
    testFilterWorld({
      resolver: {
        ...zoneResolver({}),
        txt: (_name, signal) =>
          new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("too late")))),
      },
    }),
  );
  await assert.rejects(filter.open(mail.facts).judge(mail, AbortSignal.timeout(50)));
});

test("no second author, no padding and no bad grammar in From leads around DMARC", async () => {
  const alice = "alice@example.net";
  for (const from of [
    `From: eve@evil.example\r\nFrom: ${alice}`,
    `From: ${alice}, eve@evil.example`,
    `From: eve@evil.example, ${alice}`,
    `From: (${"x".repeat(70_000)}) ${alice}`,
    `From: ${"a ".repeat(3000)} <${alice}`,
    `From: ${alice}.`,
    `From: ${Array.from({ length: 30 }, (_, at) => `a@d${at}.example`).join(", ")}, ${alice}`,
    `From: "" b c < ${alice} > d`,
  ]) {
    const got = await judged(testMail(`${from}\r\nSubject: x\r\n\r\nhi\r\n`, fromElsewhere));
    assert.match(refusal(got), /^550 5\.7\.26 /, from.slice(0, 100));
  }
  // What stands unquoted in front of an address is a name, however it looks.
  const named = await judged(testMail(`From: ${alice} by way of <list@example.com>\r\n\r\nhi\r\n`, fromElsewhere));
  assert.equal(refusal(named), "keep");
});

test("a line feed alone, which binary mail may have, hides no field of the header", async () => {
  const hidden = (fields: string): FilterMail => {
    const header = Buffer.from(`X-Odd: a\n${fields}\r\nSubject: x\r\n`);
    return filterMail({ ...testMail("", fromElsewhere), header, body: keptInMemory(Buffer.from("hi\r\n")) });
  };
  const forged = await judged(hidden("Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example"));
  assert.doesNotMatch(forged.header, /dmarc=pass/);
  assert.match(forged.header, /^X-Odd: a/m);
  assert.match(refusal(await judged(hidden("From: alice@example.net"))), /^550 5\.7\.26 /);
});

test("an internationalised sender is asked for, and compared, in A-labels", async () => {
  const got = await judged(
    testMail("From: a@b\u00fccher.example\r\n\r\nhi\r\n", { mail: { sender: "a@B\u00fccher.example" } }),
    {},
    {
      "xn--bcher-kva.example TXT": ["v=spf1 ip4:192.0.2.99 -all"],
      "_dmarc.xn--bcher-kva.example TXT": ["v=DMARC1; p=reject"],
    },
  );
  assert.equal(refusal(got), "keep");
  assert.ok(got.tags?.includes("spf=pass") && got.tags.includes("dmarc=pass"), got.tags?.join(" "));
});

test("a client whose names are slow to be had is one without a name, and leads no forged mail around DMARC", async () => {
  const records = {
    ...zone,
    "example.net TXT": ["v=spf1 ptr ptr:example.com exp=why.%{p}.example.net -all"],
    "203.0.113.5 PTR": ["slow.example"],
  };
  for (const slow of ["ptr", "ipv4"] as const) {
    const clock = virtualClock(0);
    const resolver = zoneResolver(records);
    const hanging = { ...resolver, [slow]: () => new Promise<never>(() => {}) };
    const filter = authenticateFilter(
      "auth",
      authenticateSettings.parse({ spf: { helo: false } }),
      testFilterWorld({ clock, resolver: hanging }),
    );
    const mail = testMail(MESSAGE, fromElsewhere);
    const judging = filter.open(mail.facts).judge(mail, new AbortController().signal);
    await clock.advance(20_000);
    const verdict = await judging;
    assert.match(refusal(verdict), /^550 5\.7\.26 /, `${slow}: ${verdict.tags?.join(" ")}`);
    assert.ok(verdict.tags?.includes("spf=fail"), verdict.tags?.join(" "));
  }
});

test("a domain whose DNS is slow on purpose costs SPF its time, and the mail nothing", async () => {
  const clock = virtualClock(0);
  const resolver = zoneResolver(zone);
  const filter = authenticateFilter(
    "auth",
    authenticateSettings.parse({}),
    testFilterWorld({
      clock,
      resolver: {
        ...resolver,
        txt: (name, signal) => (name === "slow.example" ? new Promise(() => {}) : resolver.txt(name, signal)),
      },
    }),
  );
  const mail = testMail(signed(MESSAGE), { ...fromElsewhere, mail: { sender: "a@slow.example" } });
  const judging = filter.open(mail.facts).judge(mail, new AbortController().signal);
  await clock.advance(20_000);
  const verdict = await judging;
  assert.equal(refusal(verdict), "keep");
  assert.ok(verdict.tags?.includes("spf=temperror") && verdict.tags.includes("dmarc=pass"), verdict.tags?.join(" "));
});
