import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { suiteResolver, type SuiteZone } from "../../testing/spf-suite.ts";
import { zoneResolver } from "../../testing/dns-zone.ts";
import { parseSpfRecord } from "./spf-record.ts";
import { checkSpf, type SpfQuestion } from "./spf.ts";

const SUITE = join(import.meta.dirname, "../../../test/vectors/rfc7208-tests.yml");

/** Cases whose word is not ours, and why. One that begins to pass is an error here: then it leaves the list. */
const MISSES: Readonly<Record<string, string>> = {};

interface SuiteCase {
  readonly helo: string;
  readonly host: string;
  readonly mailfrom: string;
  readonly result: string | readonly string[];
  readonly explanation?: string;
}

interface Scenario {
  readonly description: string;
  readonly tests: Readonly<Record<string, SuiteCase>>;
  readonly zonedata: SuiteZone;
}

function questionOf({ helo, host, mailfrom }: SuiteCase): SpfQuestion {
  const at = mailfrom.lastIndexOf("@");
  const domain = at < 0 ? helo : mailfrom.slice(at + 1);
  return {
    address: host,
    domain,
    sender: { local: at < 0 ? "postmaster" : mailfrom.slice(0, at), domain },
    helo,
    receiver: "receiver.example",
    nowSeconds: 1_700_000_000,
  };
}

test("the test suite of RFC 7208 is answered as it wants", async (context) => {
  const scenarios = parseAllDocuments(readFileSync(SUITE, "latin1")).flatMap((document) => {
    const scenario = document.toJS() as Scenario | null;
    return scenario === null ? [] : [scenario];
  });
  const wrong: string[] = [];
  let all = 0;
  for (const { description, tests, zonedata } of scenarios) {
    const resolver = suiteResolver(zonedata);
    for (const [name, wanted] of Object.entries(tests)) {
      all++;
      const got = await checkSpf(questionOf(wanted), resolver);
      const accepted = [wanted.result].flat();
      const isRight =
        accepted.includes(got.result) &&
        (wanted.explanation === undefined || wanted.explanation === (got.explanation ?? "DEFAULT"));
      if (!isRight)
        wrong.push(
          `${description} / ${name}: wanted ${accepted.join("|")} ${wanted.explanation ?? ""}, got ${got.result} (${got.because}) ${got.explanation ?? ""}`,
        );
    }
  }
  context.diagnostic(`${all - wrong.length} of ${all} cases pass`);
  assert.equal(all, 203);
  assert.deepEqual(
    wrong.filter((text) => MISSES[text.split(":")[0] ?? ""] === undefined),
    [],
  );
  assert.equal(wrong.length, Object.keys(MISSES).length, "a miss of the list passes now");
});

const client: Omit<SpfQuestion, "domain"> = {
  address: "192.0.2.1",
  sender: { local: "user", domain: "example.org" },
  helo: "mail.example.org",
  receiver: "mx.example.net",
  nowSeconds: 0,
};

test("a DNS that fails is a temporary error, never a pass or a fail", async () => {
  const resolver = zoneResolver({ "example.org TXT": ["v=spf1 mx -all"], "example.org MX": "fail" });
  assert.equal((await checkSpf({ ...client, domain: "example.org" }, resolver)).result, "temperror");
});

test("names that a client does not have are looked for once, and count as one lookup that finds nothing, however often a record asks", async () => {
  const resolver = zoneResolver({ "d.example TXT": ["v=spf1 ptr ptr:b.example ptr:c.example -all"] });
  assert.equal((await checkSpf({ ...client, domain: "d.example" }, resolver)).result, "fail");
});

test("a record that asks for more than ten lookups is void, and no more are made", async () => {
  const zone: Record<string, string[]> = {};
  for (let at = 0; at < 20; at++) zone[`d${at}.example.org TXT`] = [`v=spf1 include:d${at + 1}.example.org -all`];
  const resolver = zoneResolver(zone);
  const result = await checkSpf({ ...client, domain: "d0.example.org" }, resolver);
  assert.equal(result.result, "permerror");
  assert.equal(resolver.asked.length, 11);
});

test("a dual-stack socket's name of an IPv4 client is judged as IPv4", async () => {
  const resolver = zoneResolver({ "example.org TXT": ["v=spf1 ip4:192.0.2.0/24 -all"] });
  const result = await checkSpf({ ...client, address: "::ffff:192.0.2.1", domain: "example.org" }, resolver);
  assert.equal(result.result, "pass");
});

test("no text makes the reader of records throw, and none keeps it busy", () => {
  fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseSpfRecord(`v=spf1 ${text}`)));
  const usedMs = cpuWatch();
  for (const long of [
    "a".repeat(60_000),
    `a:${"%{d}".repeat(15_000)}x`,
    `exists:${"a.".repeat(30_000)}1`,
    `a:${"-".repeat(60_000)}`,
    `a:b.${"a".repeat(60_000)}!`,
    `a:b.${"1".repeat(60_000)}a!`,
    `a:b.${"a-".repeat(30_000)}!`,
  ])
    parseSpfRecord(`v=spf1 ${long}`);
  assert.ok(usedMs() < 2000);
});
