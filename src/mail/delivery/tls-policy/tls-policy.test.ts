import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Table } from "../../../service/table/table.ts";
import { inlineTable } from "../../../service/table/tables.ts";
import { policyEntryProblem, policyFinder } from "./find-policy.ts";
import { parseLevel, parsePolicy } from "./policy.ts";
import { policyKey, policyKeys, spellingsOf, type PolicySubject } from "./policy-key.ts";
import { parseProtocols } from "./protocols.ts";
import { tlsClientSettings } from "./settings.ts";

const mx: PolicySubject = { destination: "example.org", hostName: "mx1.mail.example", address: "192.0.2.1", port: 25 };
const filter: PolicySubject = {
  destination: "[127.0.0.1]:10025",
  hostName: "127.0.0.1",
  address: "127.0.0.1",
  port: 10_025,
};

function finder(policies: Record<string, unknown>, table?: Record<string, string> | Table) {
  const settings = tlsClientSettings.parse({ policy: policies });
  return policyFinder({
    policies: settings.policy,
    whereIs: (key) => `posthorn.yaml:${Object.keys(policies).indexOf(key) + 1}`,
    table:
      table === undefined || ("exact" in table && typeof table.exact === "function")
        ? (table as Table | undefined)
        : inlineTable("tls-policy", { kind: "map", entries: table as Record<string, string> }),
  });
}

async function keyFor(subject: PolicySubject, ...keys: string[]): Promise<string> {
  const answer = await finder(Object.fromEntries(keys.map((key) => [key, "may"]))).find(subject);
  return answer.kind === "found" ? answer.found.key : answer.kind;
}

test("the keys of a session are tried from what was written to what the DNS said, each with its port first", () => {
  assert.deepEqual(policyKeys(mx), [
    "example.org:25",
    "example.org",
    "*.org",
    "mx1.mail.example:25",
    "mx1.mail.example",
    "*.mail.example",
    "*.example",
    "192.0.2.1:25",
    "192.0.2.1",
    "*",
  ]);
  assert.deepEqual(policyKeys({ destination: "[2001:DB8::1]:2525", address: "2001:db8::1", port: 2525 }), [
    "[2001:db8::1]:2525",
    "2001:db8::1",
    "*",
  ]);
});

test("a content filter at [127.0.0.1]:10025 is found under localhost:10025", async () => {
  const answer = await finder({ "localhost:10025": "NONE", "*": "secure" }).find(filter);
  assert.deepEqual(answer, {
    kind: "found",
    found: { policy: { level: "none" }, key: "localhost:10025", where: "posthorn.yaml:1" },
  });
  const table = await finder({}, { "[localhost]:10025": "NONE" }).find(filter);
  assert.ok(table.kind === "found");
  assert.deepEqual([table.found.key, table.found.where], ["[localhost]:10025", "tls-policy"]);
});

test("the names of the loopback stand for each other, with and without port, and for nobody else", async () => {
  for (const written of ["localhost:10025", "127.0.0.1:10025", "[::1]:10025", "[localhost]", "::1", "[127.0.0.1]"])
    for (const destination of ["[127.0.0.1]:10025", "localhost:10025", "[::1]:10025", "127.0.0.1:10025"])
      assert.equal(await keyFor({ destination, port: 10_025 }, written), written, `${written} for ${destination}`);
  assert.equal(await keyFor(filter, "localhost:10026"), "none");
  assert.equal(await keyFor(mx, "localhost"), "none");
  // The one that was written comes before the others.
  assert.equal(await keyFor(filter, "localhost:10025", "127.0.0.1:10025"), "127.0.0.1:10025");
  assert.equal(await keyFor(filter, "localhost", "::1", "[::1]:10025"), "[::1]:10025");
});

test("brackets, case, final dots and A-labels make no difference", async () => {
  for (const key of ["example.org", "[example.org]", "EXAMPLE.ORG.", "Example.org:25", "[example.org]:25"])
    assert.equal(await keyFor(mx, key), key);
  assert.equal(await keyFor({ destination: "bücher.example" }, "xn--bcher-kva.example"), "xn--bcher-kva.example");
  assert.equal(await keyFor({ destination: "xn--bcher-kva.example" }, "*.example", "Bücher.example"), "Bücher.example");
  assert.equal(await keyFor({ destination: "[2001:db8:0:0::1]" }, "2001:DB8::1"), "2001:DB8::1");
});

test("the most specific key decides, and what a person wrote comes before what the DNS answered", async () => {
  assert.equal(await keyFor(mx, "*", "192.0.2.1", "mx1.mail.example"), "mx1.mail.example");
  assert.equal(await keyFor(mx, "mx1.mail.example:25", "*.org"), "*.org");
  assert.equal(await keyFor(mx, "*.example", "*.mail.example"), "*.mail.example");
  assert.equal(await keyFor(mx, ".mail.example", "*"), ".mail.example");
  assert.equal(await keyFor(mx, "example.org:26", "*"), "*");
  assert.equal(await keyFor(mx, "*.example.org"), "none");
  assert.equal(await keyFor({ destination: "a.b.example.org" }, "*.example.org", "*.b.example.org"), "*.b.example.org");
});

test("settings and table are one: the more specific key, and of the same key the settings'", async () => {
  const both = finder({ "*": "may", "example.org": "encrypt" }, { "example.org": "secure", "*.mail.example": "none" });
  const answer = await both.find(mx);
  assert.ok(answer.kind === "found" && answer.found.policy.level === "encrypt");
  const other = await both.find({ ...mx, destination: "other.net" });
  assert.ok(other.kind === "found" && other.found.key === "*.mail.example" && other.found.policy.level === "none");
  const inTable = await finder({ "*": "may" }, { "example.org": "secure match=nexthop" }).find(mx);
  assert.ok(inTable.kind === "found" && inTable.found.where === "tls-policy");
});

test("a table that fails, or that nobody understands, is no answer, and never none", async () => {
  const failed = { kind: "failed", text: "no connection" } as const;
  const broken: Table = {
    name: "tls-policy",
    lookup: () => Promise.resolve(failed),
    exact: () => Promise.resolve(failed),
    has: () => Promise.resolve(failed),
    hasExact: () => Promise.resolve(failed),
  };
  assert.deepEqual(await finder({ "*": "may" }, broken).find(mx), {
    kind: "failed",
    text: "table tls-policy: no connection",
  });
  assert.deepEqual(await finder({}, { "example.org": "dane" }).find(mx), {
    kind: "failed",
    text: "tls-policy: the level dane is not yet supported",
  });
});

test("levels are read in any case, old words included; those to come are refused by name", () => {
  for (const [word, level] of [
    ["NONE", "none"],
    ["None", "none"],
    ["MAY", "may"],
    ["MUST", "verify"],
    ["must_nopeermatch", "encrypt"],
    ["MUST_NOPEERMATCH", "encrypt"],
    ["Encrypt", "encrypt"],
    ["FINGERPRINT", "fingerprint"],
    ["verify", "verify"],
    ["Secure", "secure"],
  ] as const)
    assert.deepEqual(parseLevel(word), { ok: true, value: level }, word);
  for (const word of ["dane", "DANE-only", "sts"]) {
    const parsed = parseLevel(word);
    assert.ok(!parsed.ok && parsed.problem.endsWith("is not yet supported"), word);
  }
  assert.equal(parseLevel("strong").ok, false);
});

test("a line of a table says a whole policy, in Postfix's words and in ours", () => {
  const hex = "ab".repeat(32);
  const colons = hex.toUpperCase().match(/../g)?.join(":") ?? "";
  assert.deepEqual(
    parsePolicy("secure match=example.org:.example.org protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1 ciphers=HIGH"),
    {
      ok: true,
      value: { level: "secure", match: ["example.org", ".example.org"], minVersion: "TLSv1.2", ciphers: "HIGH" },
    },
  );
  assert.deepEqual(parsePolicy(`fingerprint fingerprints=${colons}|${hex} tickets=no log-level=3`), {
    ok: true,
    value: { level: "fingerprint", fingerprints: [hex, hex], tickets: false, logLevel: 3 },
  });
  assert.deepEqual(
    parsePolicy(
      "MUST min-version=tlsv1.3 ca-file=/etc/ca.pem servername=MX.example.org certificate=partner match=2001:db8::1,nexthop",
    ),
    {
      ok: true,
      value: {
        level: "verify",
        minVersion: "TLSv1.3",
        caFile: "/etc/ca.pem",
        serverName: "mx.example.org",
        certificate: "partner",
        match: ["2001:db8::1", "nexthop"],
      },
    },
  );
  assert.deepEqual(parsePolicy("secure match=a.example protocols=>=TLSv1.2 max-version=TLSv1.3 match=b.example"), {
    ok: true,
    value: { level: "secure", match: ["a.example", "b.example"], minVersion: "TLSv1.2", maxVersion: "TLSv1.3" },
  });
  assert.deepEqual(parsePolicy(`fingerprint fingerprints=${hex} fingerprints=${hex}`), {
    ok: true,
    value: { level: "fingerprint", fingerprints: [hex, hex] },
  });
  for (const [text, problem] of [
    ["fingerprint", /needs at least one/],
    [`verify fingerprints=${hex}`, /count at the level fingerprint only/],
    ["verify colour=red", /expected name=value/],
    ["verify match=", /expected name=value/],
    ["verify min-version=TLSv1.3 max-version=TLSv1.2", /no version is left/],
    ["verify ca-file=ca.pem", /absolute path/],
    ["verify protocols=TLSv1.1:TLSv1.3", /without a gap/],
    ["verify protocols=SSLv3", /expected versions/],
    ["verify protocols=>=SSLv3", /expected versions/],
    ["verify protocols=,", /expected versions/],
    ["verify match=,", /match: expected at least one name/],
    ["fingerprint fingerprints=,", /needs at least one fingerprint/],
    ["", /expected one of none, may/],
    [
      "secure min-version=TLSv1.2 ciphers=HIGH min_version=TLSv1.3",
      /^minversion: said already by "min-version=TLSv1.2"$/,
    ],
    ["secure protocols=>=TLSv1.2 min-version=TLSv1.3", /^minversion: said already by "protocols=>=TLSv1.2"$/],
    ["secure sni=a.example server-name=a.example", /^servername: said already by "sni=a.example"$/],
    ["may tickets=yes tickets=no", /^tickets: said already/],
  ] as const) {
    const parsed = parsePolicy(text);
    assert.ok(!parsed.ok, text);
    assert.match(parsed.problem, problem);
  }
});

test("ranges of versions", () => {
  for (const [text, minVersion, maxVersion] of [
    [">=TLSv1.2", "TLSv1.2", undefined],
    [">=TLSv1", "TLSv1", undefined],
    [">=TLSv1:!TLSv1.3", "TLSv1", "TLSv1.2"],
    ["<=TLSv1.2", undefined, "TLSv1.2"],
    [">=TLSv1.2, <=TLSv1.2", "TLSv1.2", "TLSv1.2"],
    ["TLSv1.2:TLSv1.3", "TLSv1.2", undefined],
    ["!TLSv1.3", undefined, "TLSv1.2"],
    ["!SSLv2,!SSLv3", undefined, undefined],
    ["tlsv1.0", "TLSv1", "TLSv1"],
  ] as const) {
    const parsed = parseProtocols(text);
    assert.ok(parsed.ok, text);
    assert.deepEqual([parsed.value.minVersion, parsed.value.maxVersion], [minVersion, maxVersion], text);
  }
});

test("settings take a policy as a line or as fields, and say what is wrong where", () => {
  const settings = tlsClientSettings.parse({
    policy: {
      "example.org": { level: "FINGERPRINT", fingerprints: `sha256:${"AB".repeat(32)}` },
      "*": "MUST_NOPEERMATCH",
    },
  });
  assert.deepEqual(settings.policy, {
    "example.org": { level: "fingerprint", fingerprints: ["ab".repeat(32)] },
    "*": { level: "encrypt" },
  });
  const wrong = tlsClientSettings.safeParse({
    policy: {
      "bad key": "may",
      "a.example": "sts",
      "b.example": { level: "fingerprint" },
      "c.example": { level: "verify", match: [] },
      localhost: "may",
      "[LOCALHOST]": "none",
    },
  });
  assert.ok(!wrong.success);
  const told = Object.fromEntries(wrong.error.issues.map((issue) => [issue.path.join("/"), issue.message]));
  assert.match(told["policy/a.example"] ?? "", /not yet supported/);
  assert.match(told["policy/b.example"] ?? "", /needs at least one/);
  assert.match(told["policy/c.example"] ?? "", /match: expected at least one name/);
  const keys = tlsClientSettings.safeParse({ policy: { "bad key": "may", localhost: "may", "[LOCALHOST]": "none" } });
  assert.ok(!keys.success);
  assert.deepEqual(
    keys.error.issues.map((issue) => issue.path.join("/")),
    ["policy/bad key", "policy/[LOCALHOST]"],
  );
});

test("what a table's entry says is checked with its key", () => {
  assert.equal(policyEntryProblem("localhost:10025", "NONE"), undefined);
  assert.match(policyEntryProblem("localhost:0", "NONE") ?? "", /expected a host/);
  assert.match(policyEntryProblem("localhost", undefined) ?? "", /expected a level/);
  assert.match(policyEntryProblem("localhost", "dane") ?? "", /not yet supported/);
});

test("an entry of a table is found however its key is spelt, or the check says that it is not", async () => {
  const subject = (destination: string): PolicySubject => ({ destination, port: 25 });
  for (const [key, destination] of [
    ["fd00::1", "[fd00::1]"],
    ["[fd00::1]", "[fd00::1]"],
    ["[IPv6:fd00::1]", "[fd00::1]"],
    ["[IPv6:fd00::1]:25", "[IPv6:fd00::1]:25"],
    ["fd00:0::0001", "[fd00::1]"],
    ["[mx.Example]:25", "mx.example"],
    ["mx.example.", "mx.example"],
    ["B\u00fccher.example", "xn--bcher-kva.example"],
    [".b\u00fccher.example", "mx.xn--bcher-kva.example"],
  ] as const) {
    assert.equal(policyEntryProblem(key, "secure"), undefined, key);
    const answer = await finder({}, { [key]: "secure" }).find(subject(destination));
    assert.equal(answer.kind, "found", key);
  }
  for (const [key, better] of [
    ["[fd00:0::1]", "fd00::1"],
    ["b\u00fccher.example:25", "xn--bcher-kva.example:25"],
    ["mx.example.:25", "mx.example:25"],
  ] as const) {
    assert.match(policyEntryProblem(key, "secure") ?? "", new RegExp(`never found.*write ${better}$`), key);
    assert.equal((await finder({}, { [key]: "secure" }).find(subject(better))).kind, "none", key);
  }
});

test("nothing that is written throws; a key that is understood is found by itself, however it is spelt", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.domain(),
        fc.ipV4(),
        fc.ipV6(),
        fc.domain().map((name) => `*.${name}`),
      ),
      (text) => {
        void parsePolicy(text);
        const key = policyKey(text);
        if (!key.ok) return;
        assert.deepEqual(policyKey(key.value), key);
        for (const spelling of spellingsOf(key.value)) assert.deepEqual(policyKey(spelling), key, spelling);
        if (!key.value.startsWith("*")) assert.equal(policyKeys({ destination: text })[0], key.value);
      },
    ),
  );
});
