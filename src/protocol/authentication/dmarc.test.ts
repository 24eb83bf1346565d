import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { zoneResolver } from "../../testing/dns-zone.ts";
import { parseDmarcRecord } from "./dmarc-record.ts";
import { checkDmarc, dispositionOf, isVouchedFor } from "./dmarc.ts";
import { organizationalDomain } from "./organizational-domain.ts";
import { authorityOf, claimsToBeOf, formatResults } from "./results-field.ts";

const zone = (records: Readonly<Record<string, string>>) =>
  zoneResolver(Object.fromEntries(Object.entries(records).map(([name, text]) => [`_dmarc.${name} TXT`, [text]])));
const no = { result: "none", domain: "elsewhere.example" } as const;
const dkim = (domain: string, result: "pass" | "fail" | "temperror" = "pass") => ({ result, domain }) as const;

test("one aligned pass is enough, by DKIM or by SPF, and a pass of strangers is none", async () => {
  const dns = zone({ "example.co.uk": "v=DMARC1; p=reject" });
  const ask = async (
    signatures: readonly ReturnType<typeof dkim>[],
    spf: { result: "pass" | "fail" | "none"; domain: string },
  ) => (await checkDmarc({ fromDomains: ["example.co.uk"], dkim: signatures, spf }, dns, organizationalDomain)).result;
  assert.equal(await ask([dkim("example.co.uk")], no), "pass");
  assert.equal(await ask([dkim("mail.example.co.uk")], no), "pass");
  assert.equal(await ask([], { result: "pass", domain: "bounce.example.co.uk" }), "pass");
  assert.equal(await ask([dkim("other.co.uk")], { result: "pass", domain: "co.uk" }), "fail");
  assert.equal(await ask([dkim("example.co.uk", "fail")], no), "fail");
  assert.equal(await ask([dkim("example.co.uk", "temperror")], no), "temperror");
});

test("strict alignment wants the very domain", async () => {
  const dns = zone({ "example.org": "v=DMARC1; p=none; adkim=s; aspf=s" });
  const question = {
    fromDomains: ["example.org"],
    dkim: [dkim("mail.example.org")],
    spf: { result: "pass", domain: "b.example.org" },
  } as const;
  assert.equal((await checkDmarc(question, dns, organizationalDomain)).result, "fail");
});

test("a subdomain without a record has its organisation's, with sp", async () => {
  const dns = zone({ "example.org": "v=DMARC1; p=reject; sp=quarantine" });
  const result = await checkDmarc({ fromDomains: ["a.b.example.org"], dkim: [], spf: no }, dns, organizationalDomain);
  assert.deepEqual([result.result, result.policy, result.recordDomain], ["fail", "quarantine", "example.org"]);
});

test("a DNS that fails is a temporary error", async () => {
  const failing = zoneResolver({ "_dmarc.example.org TXT": "fail" });
  const question = { fromDomains: ["example.org"], dkim: [], spf: no };
  assert.equal((await checkDmarc(question, failing, organizationalDomain)).result, "temperror");
});

test("of several domains in From the strictest policy among those that fail is applied", async () => {
  const dns = zone({ "strict.example": "v=DMARC1; p=reject", "lax.example": "v=DMARC1; p=quarantine" });
  const judge = (fromDomains: readonly string[], passing: readonly string[] = []) =>
    checkDmarc(
      { fromDomains, dkim: passing.map((domain) => ({ result: "pass", domain })), spf: no },
      dns,
      organizationalDomain,
    );
  for (const fromDomains of [
    ["evil.example", "strict.example"],
    ["strict.example", "evil.example"],
    ["lax.example", "strict.example"],
  ]) {
    const result = await judge(fromDomains, ["evil.example"]);
    assert.equal(result.result, "fail");
    assert.equal(result.domain, "strict.example");
    assert.equal(dispositionOf(result, 0.5), "reject");
  }
  assert.equal(dispositionOf(await judge(["evil.example", "lax.example"]), 0.5), "quarantine");
  const unclear = await judge(["strict.example", "evil.example"], ["strict.example"]);
  assert.equal(unclear.result, "permerror");
  assert.equal(dispositionOf(unclear, 0.5), "none");
  const many = Array.from({ length: 11 }, (_, at) => `d${at}.example`);
  assert.equal(dispositionOf(await judge([...many, "strict.example"]), 0.5), "reject");
});

test("pct spares its share, which gets the next weaker policy", async () => {
  const dns = zone({ "example.org": "v=DMARC1; p=reject; pct=30" });
  const result = await checkDmarc({ fromDomains: ["example.org"], dkim: [], spf: no }, dns, organizationalDomain);
  assert.equal(dispositionOf(result, 0.29), "reject");
  assert.equal(dispositionOf(result, 0.3), "quarantine");
});

test("records are read with their defaults, and those without a policy count when they want reports", () => {
  assert.equal(parseDmarcRecord("v=DMARC1; p=reject")?.percent, 100);
  assert.equal(parseDmarcRecord("v=DMARC1"), undefined);
  assert.equal(parseDmarcRecord("p=none; v=DMARC1"), undefined);
  const record = parseDmarcRecord(
    "v=DMARC1; p=bogus; rua=mailto:a@example.org!10m,https://x.example,mailto:b@example.net",
  );
  assert.equal(record?.policy, "none");
  assert.deepEqual(record?.reportTo, [
    { address: "a@example.org", mostBytes: 10 * 1024 * 1024 },
    { address: "b@example.net", mostBytes: undefined },
  ]);
  fc.assert(fc.property(fc.string(), (text) => void parseDmarcRecord(`v=DMARC1; ${text}`)));
});

test("a chain overrules only as far as its sealers are trusted", () => {
  const set = (instance: number, sealer: string, text: string) => {
    const field = { name: "x", text };
    return { instance, sealer, selector: "s", chain: "pass" as const, message: field, seal: field, results: field };
  };
  const arc = (...sets: ReturnType<typeof set>[]) => ({ result: "pass" as const, sets });
  const passed = "ARC-Authentication-Results: i=1; a; spf=fail; dmarc=pass (p=none)";
  const trusted = new Set(["list.example"]);
  assert.equal(isVouchedFor(arc(set(1, "list.example", passed)), trusted, "author.example"), "list.example");
  assert.equal(isVouchedFor(arc(set(1, "other.example", passed)), trusted, "author.example"), undefined);
  assert.equal(
    isVouchedFor(arc(set(1, "list.example", passed), set(2, "other.example", passed)), trusted, "author.example"),
    undefined,
  );
  assert.equal(
    isVouchedFor(arc(set(1, "list.example", "X: i=1; a; x=y (; dmarc=pass)")), trusted, "author.example"),
    undefined,
  );
  for (const words of [
    "(a (b) ; dmarc=pass (c))",
    'smtp.mailfrom="; dmarc=pass; "@evil.example',
    "; dmarc=pass header.from=evil.example",
    "; dmarc=passing",
  ]) {
    const forged = `ARC-Authentication-Results: i=1; a; spf=fail ${words}; dmarc=fail header.from=author.example`;
    assert.equal(isVouchedFor(arc(set(1, "list.example", forged)), trusted, "author.example"), undefined, words);
  }
  const named = `${passed} header.from=Author.example`;
  assert.equal(isVouchedFor(arc(set(1, "list.example", named)), trusted, "author.example"), "list.example");
});

test("fields that claim to be ours are known in whatever dress", () => {
  const claims = (value: string) =>
    claimsToBeOf({ name: "authentication-results", text: `Authentication-Results:${value}` }, "mx.example.org");
  for (const value of [
    " mx.example.org; spf=pass",
    " MX.Example.Org 1; spf=pass",
    " (hi (there)) mx.example.org(x) 1 (y);none",
    '\r\n\t"mx.example.org"; none',
    ' "mx\\.example.org"; none',
    " mx.example.org",
    " (open mx.example.org; spf=pass",
  ])
    assert.ok(claims(value), value);
  for (const value of [
    " mx.example.net; spf=pass",
    " other; x=mx.example.org",
    " xmx.example.org; none",
    " (mx.example.org) b; none",
  ])
    assert.ok(!claims(value), value);
});

test("a field that is long and malformed is soon judged", () => {
  const usedMs = cpuWatch();
  for (const value of [` a${"1".repeat(200_000)}"`, ` a${" 1".repeat(100_000)}=`, ` a${" ".repeat(200_000)}=`])
    authorityOf(value);
  assert.ok(usedMs() < 2000);
});

test("no value gets out of its place in a results field", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (comment, reason, value) => {
      const text = formatResults("mx.example.org", [
        {
          method: "dkim",
          result: "fail",
          comment,
          reason,
          properties: [
            ["header.d", value],
            ["smtp.mailfrom", `${value}@x`],
          ],
        },
      ]);
      assert.equal(authorityOf(text), "mx.example.org");
      assert.doesNotMatch(text, /[^\x20-\x7e\r\n\t]/);
      assert.doesNotMatch(text.replaceAll("\r\n\t", ""), /[\r\n]/);
      assert.equal(text.replace(/\([^()]*\)|"(?:[^"\\]|\\.)*"/g, "").split(";").length, 2);
    }),
  );
});
