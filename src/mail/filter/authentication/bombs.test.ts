import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { cpuWatch } from "../../../testing/cpu-watch.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { applyEdits } from "../header-edits.ts";
import { authenticateFilter } from "./authenticate-filter.ts";
import { authenticateSettings, signSettings } from "./settings.ts";
import { signFilter } from "./sign-filter.ts";

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PEM = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const PUBLIC = pair.publicKey.export({ type: "spki", format: "der" }).toString("base64");
/** Of the body behind what stands in the header: with it the header's hash is looked at, too. */
const HASH = createHash("sha256").update("x\r\n").digest("base64");

/** What mail of one kind is made of: as many of it as asked for, behind which the message follows. */
const BOMBS: Readonly<Record<string, (many: number) => string>> = {
  "signatures that sign every field there is": (many) =>
    `DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; h=from${":dkim-signature".repeat(20)}; bh=${HASH}; b=AAAA\n`.repeat(
      many,
    ),
  "a signature over a hundred thousand names": (many) =>
    `DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; h=from${":x".repeat(10 * many)}; bh=${HASH}; b=AAAA\n`,
  "sets of ARC": (many) => {
    let text = "";
    for (let at = 1; at <= many; at++)
      text += `ARC-Seal: i=${at}; cv=pass; a=rsa-sha256; d=a.example; s=s; b=AAAA\nARC-Message-Signature: i=${at}; a=rsa-sha256; d=a.example; s=s; h=from; bh=AAAA; b=AAAA\nARC-Authentication-Results: i=${at}; a.example; none\n`;
    return text;
  },
  "results in our name": (many) => "Authentication-Results: mx.example.org; dmarc=pass\n".repeat(many),
  "results in our name that cannot be read": (many) => 'Authentication-Results: "mx.example.org (((\n'.repeat(many),
  "comments that never end": (many) => `Authentication-Results: ${"(".repeat(40 * many)}mx.example.org\n`,
  "subjects without number": (many) => "Subject: x\n".repeat(many),
  "fields of one letter": (many) => "A:\n".repeat(10 * many),
  "a quoted string that never ends": (many) => `From: "${'\\"a '.repeat(10 * many)}\n`,
  "brackets that never close": (many) => `From: ${"<a@".repeat(10 * many)}\n`,
  "authors without number": (many) => `From: ${"a@b.example, ".repeat(3 * many)}\n`,
  "blanks without number": (many) => `From: a${" ".repeat(20 * many)}${"\t".repeat(20 * many)}x\n`,
  "parts in parts": (many) => {
    let text = "Content-Type: multipart/mixed; boundary=b0\n\n";
    for (let at = 0; at < many; at++) text += `--b${at}\nContent-Type: multipart/mixed; boundary=b${at + 1}\n\n`;
    return text;
  },
  "a hundred thousand parts": (many) =>
    `Content-Type: multipart/mixed; boundary=b\n\n${"--b\n\nx\n".repeat(10 * many)}`,
};
const signing = signSettings.parse({ keyTable: "table:keys", keyFolder: "/keys", whose: "everybody" });
const MOST_QUESTIONS = 100;

for (const [what, made] of Object.entries(BOMBS))
  test(`${what}: judged and signed in a moment, with few questions to the DNS`, async () => {
    const mail = testMail(`From: a@example.net\n${made(10_000)}\nx\n`);
    let questions = 0;
    const zone = zoneResolver({
      "example.net TXT": ["v=spf1 -all"],
      "s._domainkey.example.net TXT": [`v=DKIM1; p=${PUBLIC}`],
      "s._domainkey.a.example TXT": [`v=DKIM1; p=${PUBLIC}`],
    });
    const resolver = new Proxy(zone, {
      get(target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver);
        if (typeof value !== "function") return value;
        return (...parameters: unknown[]): unknown => {
          questions++;
          return Reflect.apply(value, target, parameters);
        };
      },
    });
    const world = testFilterWorld({
      resolver,
      signing: {
        signingKeys: async (_, domain) => ({ kind: "found", domain, keys: [{ selector: "s", pem: PEM, kind: "rsa" }] }),
      },
    });
    const usedMs = cpuWatch();
    const authenticate = authenticateFilter("auth", authenticateSettings.parse({}), world);
    const verdict = await authenticate.open(mail.facts).judge(mail, AbortSignal.timeout(60_000));
    const { header } = applyEdits(mail.header, verdict.edits ?? []);
    const sign = signFilter("sign", signing, world);
    const signed = await sign.open(mail.facts).judge(mail, AbortSignal.timeout(60_000));
    assert.equal(signed.fate.kind, "keep");
    const spent = usedMs();
    assert.ok(spent < 5000, `${spent} ms`);
    assert.ok(questions < MOST_QUESTIONS, `${questions} questions`);
    const own = header.toString("latin1").match(/^Authentication-Results:(?:[^\r]|\r\n\t)*mx\.example\.org/gim) ?? [];
    assert.equal(own.length, 1, "ours alone");
    assert.match(own[0] ?? "", /mx\.example\.org/);
  });
