import assert from "node:assert/strict";
import { test } from "node:test";
import type { DnsAnswer } from "../../protocol/dns/resolver.ts";
import { mailServices } from "./services.ts";
import { autoconfigSettings } from "./settings.ts";
import { standingOf } from "./compare-records.ts";
import { expectedRecords, policyText, zoneLine, type RecordFacts } from "./expected-records.ts";
import { domainRecordsSettings } from "./records-settings.ts";

const HASH = "ab".repeat(32);
function facts(more: Parameters<typeof domainRecordsSettings.parse>[0] = {}): RecordFacts {
  const autoconfig = autoconfigSettings.parse({ imap: [{ host: "imap.example.org" }] });
  return {
    domain: "example.org",
    hostname: "mx.example.org",
    settings: domainRecordsSettings.parse(more),
    services: mailServices(autoconfig, [{ host: "mx.example.org", port: 465, tls: "implicit" }], "example.org"),
    dkimKeys: [{ selector: "s1", kind: "ed25519", key: "QUJD" }],
    keyHashes: [HASH],
    webHost: "mx.example.org",
  };
}
const found = (...records: string[]): DnsAnswer<readonly string[]> => ({
  kind: "found",
  records,
  ttlMs: 0,
  secure: false,
});
const none: DnsAnswer<readonly string[]> = { kind: "none", because: "no-such-name", ttlMs: 0, secure: false };

test("a domain's records are lines of a zone", () => {
  assert.deepEqual(
    expectedRecords(facts({ mtaSts: { mode: "enforce" } })).map((one) => zoneLine(one).replace(/id=\w+/, "id=ID")),
    [
      "example.org. IN MX 10 mx.example.org.",
      'example.org. IN TXT "v=spf1 mx -all"',
      's1._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p=QUJD"',
      '_dmarc.example.org. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.org"',
      '_mta-sts.example.org. IN TXT "v=STSv1; id=ID"',
      "mta-sts.example.org. IN CNAME mx.example.org.",
      '_smtp._tls.example.org. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"',
      `_25._tcp.mx.example.org. IN TLSA 3 1 1 ${HASH}`,
      "_submissions._tcp.example.org. IN SRV 0 1 465 mx.example.org.",
      "_imaps._tcp.example.org. IN SRV 0 1 993 imap.example.org.",
      "autoconfig.example.org. IN CNAME mx.example.org.",
      "_autodiscover._tcp.example.org. IN SRV 0 1 443 mx.example.org.",
    ],
  );
});

test("the policy of MTA-STS names the exchangers, and its record changes with it", () => {
  const { settings, hostname } = facts({ mtaSts: { mode: "enforce" }, mx: [{ host: "mx1.example.net" }] });
  assert.equal(
    policyText(settings, hostname),
    "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.net\r\nmax_age: 604800\r\n",
  );
  const idOf = (mode: "testing" | "enforce"): string | undefined =>
    expectedRecords(facts({ mtaSts: { mode } })).find(({ purpose }) => purpose === "mta-sts")?.value;
  assert.notEqual(idOf("testing"), idOf("enforce"));
  assert.equal(idOf("testing"), idOf("testing"));
  assert.equal(policyText(facts().settings, hostname), undefined);
});

test("what is published is right, missing, something else, or not to be found out", () => {
  const of = (purpose: string) => {
    const record = expectedRecords(facts({ mtaSts: {} })).find((one) => one.purpose === purpose);
    assert.ok(record !== undefined);
    return (published: DnsAnswer<readonly string[]>) => {
      const standing = standingOf(record, published);
      return standing.is === "other" ? (standing.isHarmful ? "harmful" : "other") : standing.is;
    };
  };
  const mx = of("mx");
  assert.equal(mx(found("5 MX.example.org.", "10 mx2.example.org.")), "right");
  assert.equal(mx(found("10 elsewhere.example.")), "harmful");
  assert.equal(mx(none), "missing");
  const finding = { reason: "timeout", name: "", type: "MX", server: "", text: "no answer" } as const;
  assert.equal(mx({ kind: "failed", finding }), "unknown");
  const spf = of("spf");
  assert.equal(spf(found("google-site-verification=x", "v=spf1  mx -all")), "right");
  assert.equal(spf(found("v=spf1 include:x.example -all")), "other");
  assert.equal(spf(found("v=spf1 mx -all", "v=spf1 -all")), "harmful");
  assert.equal(spf(found("unrelated")), "missing");
  assert.equal(of("dkim")(found("v=DKIM1;k=ed25519; p=QU JD")), "right");
  assert.equal(of("dkim")(found("v=DKIM1; k=ed25519; p=QUJE")), "harmful");
  assert.equal(of("dane")(found(`3 1 1 ${HASH.toUpperCase()}`)), "right");
  assert.equal(of("dane")(found("3 1 1 00")), "harmful");
  assert.equal(of("mta-sts")(found("v=STSv1; id=20260101;")), "other");
  assert.equal(of("submission")(found("0 0 465 MX.example.org.")), "right");
  assert.equal(of("submission")(found("0 0 0 .")), "other");
});

test("long texts are several strings of one record", () => {
  const line = zoneLine({ name: "a", type: "TXT", value: `v="${"x".repeat(300)}`, purpose: "dkim", need: "needed" });
  assert.match(line, /^a\. IN TXT "v=\\"x{252}" "x{48}"$/);
});
