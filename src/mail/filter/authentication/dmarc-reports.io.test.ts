import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { virtualClock } from "../../../simulator/clock.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { organizationalDomain } from "../../../protocol/authentication/organizational-domain.ts";
import { formatDmarcReport } from "../../../protocol/authentication/dmarc-report.ts";
import { DAY_MS, dmarcCollector } from "./dmarc-collector.ts";
import type { DmarcObservation } from "./dmarc-observation.ts";
import { openDmarcStore } from "./dmarc-store.io.ts";
import { reportDocument, reportMail } from "./dmarc-report-mail.ts";
import { reportDestinations } from "./report-destinations.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-dmarc-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const NOON = 20_000 * DAY_MS + DAY_MS / 2;

const observation = (changes: Partial<DmarcObservation> = {}): DmarcObservation => ({
  at: NOON,
  domain: "example.net",
  policy: { p: "reject", sp: "none", adkim: "r", aspf: "s", pct: 100 },
  sourceIp: "192.0.2.7",
  disposition: "none",
  dkim: "pass",
  spf: "fail",
  headerFrom: "example.net",
  envelopeFrom: "bounce.example",
  dkimResults: [{ domain: "example.net", selector: "s", result: "pass" }],
  spfResults: [{ domain: "bounce.example", scope: "mfrom", result: "fail" }],
  ...changes,
});

test("alike mails are one row, a day is due once it is over, and nobody gets a report twice", async () => {
  const clock = virtualClock(NOON);
  const store = openDmarcStore(join(folder, "one.db"), clock);
  store.note([
    observation(),
    observation(),
    observation({ sourceIp: "192.0.2.8" }),
    observation({ domain: "other.example" }),
  ]);
  assert.equal(store.claim(), undefined);
  assert.deepEqual(
    store.list().map(({ domain, mails, state }) => `${domain} ${mails} ${state}`),
    ["example.net 3 collecting", "other.example 1 collecting"],
  );
  await clock.advance(DAY_MS);
  const [first, second] = [store.claim(), store.claim()];
  assert.deepEqual(new Set([first?.domain, second?.domain]), new Set(["example.net", "other.example"]));
  assert.equal(store.claim(), undefined);
  const data = first?.domain === "example.net" ? first : second;
  assert.deepEqual(
    data?.rows.map(({ count, sourceIp }) => `${count} ${sourceIp}`),
    ["2 192.0.2.7", "1 192.0.2.8"],
  );
  store.ended("example.net", 20_000, "sent", false);
  store.ended("other.example", 20_000, "no answer", true);
  assert.equal(store.claim(), undefined);
  await clock.advance(61 * 60_000);
  assert.equal(store.claim()?.domain, "other.example");
  // Who claimed it has gone: a quarter of an hour later somebody else may.
  await clock.advance(16 * 60_000);
  assert.equal(store.claim()?.domain, "other.example");
  assert.equal(store.list().find(({ domain }) => domain === "example.net")?.state, "sent");
  store.close();
});

test("who has a report of a day is remembered until the others have theirs", async () => {
  const clock = virtualClock(NOON);
  const path = join(folder, "taken.db");
  let store = openDmarcStore(path, clock);
  store.note([observation()]);
  await clock.advance(DAY_MS);
  assert.deepEqual(store.claim()?.taken, []);
  store.ended("example.net", 20_000, "not to b", true, ["a@example.net"]);
  store.close();
  store = openDmarcStore(path, clock);
  await clock.advance(61 * 60_000);
  assert.deepEqual(store.claim()?.taken, ["a@example.net"]);
  store.ended("example.net", 20_000, "sent", false, ["b@example.net"]);
  // More of that day makes another report, for all.
  store.note([observation()]);
  store.hasten(undefined);
  assert.deepEqual(store.claim()?.taken, []);
  store.close();
});

test("a report can be had at once, and mail of the same day behind it makes another", async () => {
  const clock = virtualClock(NOON);
  const store = openDmarcStore(join(folder, "two.db"), clock);
  store.note([observation()]);
  assert.equal(store.hasten("nobody.example"), 0);
  assert.equal(store.hasten("example.net"), 1);
  assert.equal(store.claim()?.mails, 1);
  store.ended("example.net", 20_000, "sent", false);
  store.note([observation()]);
  assert.equal(store.read("example.net", 20_000)?.mails, 1);
  await clock.advance(DAY_MS);
  assert.equal(store.claim()?.rows[0]?.count, 1);
  store.close();
});

test("where there are too many reports none begins, and those there are go on", async () => {
  const clock = virtualClock(NOON);
  const store = openDmarcStore(join(folder, "full.db"), clock, { mostReports: 3, countEvery: 1 });
  for (let at = 0; at < 20; at++) store.note([observation({ domain: `d${at}.example.net` })]);
  store.note([observation({ domain: "d0.example.net" }), observation({ domain: "d0.example.net", sourceIp: "::1" })]);
  const rows = store.list();
  assert.ok(rows.length <= 5, String(rows.length));
  assert.equal(rows.find(({ domain }) => domain === "d0.example.net")?.mails, 2);
  // After a fortnight there is room again.
  await clock.advance(15 * DAY_MS);
  store.note([observation({ domain: "late.example.net", at: clock.now() })]);
  store.note([observation({ domain: "later.example.net", at: clock.now() })]);
  assert.ok(store.list().some(({ domain }) => domain === "later.example.net"));
  store.close();
});

test("reports that were sent take no room from those of the days to come, and the oldest are forgotten", async () => {
  const clock = virtualClock(NOON);
  const store = openDmarcStore(join(folder, "sent.db"), clock, { mostReports: 4, countEvery: 1 });
  for (let days = 0; days < 6; days++) {
    for (const name of ["a", "b", "c"]) store.note([observation({ domain: `${name}.example.net`, at: clock.now() })]);
    await clock.advance(DAY_MS);
    const claimed = [store.claim(), store.claim(), store.claim()].map((data) => data?.domain);
    assert.deepEqual(new Set(claimed), new Set(["a.example.net", "b.example.net", "c.example.net"]), `day ${days}`);
    assert.equal(store.claim(), undefined);
    for (const name of ["a", "b", "c"]) store.ended(`${name}.example.net`, 20_000 + days, "sent", false);
  }
  store.note([observation({ at: clock.now() })]);
  const days = store.list().map(({ day }) => day);
  assert.ok(days.length <= 4 + 4 && days.includes(20_005) && !days.includes(20_001), days.join());
  store.close();
});

test("the mail bears the report as RFC 7489 wants, and what peers wrote can't leave its element", () => {
  const sender = {
    from: "dmarc@mx.example",
    organization: "Mail & Co",
    contact: "dmarc@mx.example",
    hostname: "mx.example",
  };
  const { at: _at, domain, policy, ...row } = observation({ envelopeFrom: "</x><y>&\u0007\ud800" });
  const data = { domain, day: 20_000, policy, mails: 3, rows: [{ ...row, count: 3 }] };
  const document = reportDocument(data, sender, NOON + DAY_MS);
  assert.match(document.fileName, /^mx\.example!example\.net!1728000000!1728086399\.xml\.gz$/);
  const mail = reportMail(document, gzipSync(document.xml), data, ["a@example.net"], sender, NOON).toString();
  assert.match(mail, /^Subject: Report Domain: example\.net Submitter: mx\.example Report-ID:\s+</m);
  for (const line of mail.split("\r\n")) assert.ok(line.length <= 98, line);
  const encoded = /base64\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--/.exec(mail)?.[1] ?? "";
  const xml = gunzipSync(Buffer.from(encoded, "base64")).toString();
  assert.equal(xml, document.xml);
  assert.match(xml, /<org_name>Mail &amp; Co<\/org_name>/);
  assert.match(xml, /<envelope_from>&lt;\/x&gt;&lt;y&gt;&amp;\?.<\/envelope_from>/u);
  assert.match(xml, /<source_ip>192\.0\.2\.7<\/source_ip><count>3<\/count>/);
  assert.match(xml, /<adkim>r<\/adkim><aspf>s<\/aspf><p>reject<\/p><sp>none<\/sp><pct>100<\/pct>/);
  assert.equal(
    formatDmarcReport({ ...data, organization: "", contact: "", id: "", begin: 0, end: 1 }).match(/<record>/g)?.length,
    1,
  );
});

test("whoever is slow to say whether he wants reports keeps nobody waiting but himself", async () => {
  const rua = ["far@a.example", "far@b.example", "in@example.net", "far@c.example"];
  const resolver = zoneResolver({
    "_dmarc.example.net TXT": [`v=DMARC1; p=none; rua=${rua.map((address) => `mailto:${address}`).join()}`],
  });
  let asked = 0;
  let answer = (): void => {};
  const all = new Promise<void>((resolve) => (answer = resolve));
  const wants = async (name: string): ReturnType<typeof resolver.txt> => {
    if (!name.includes("._report.")) return resolver.txt(name);
    if (++asked === 3) answer();
    await all;
    return { kind: "found", records: ["v=DMARC1"], ttlMs: 1000, secure: false };
  };
  const found = await reportDestinations("example.net", { txt: wants }, organizationalDomain);
  assert.deepEqual(found.kind === "found" && found.addresses.map(({ address }) => address), rua);
});

test("a report goes elsewhere only where those there said so in the DNS", async () => {
  const rua =
    "v=DMARC1; p=none; rua=mailto:in@reports.example.net,mailto:yes@collector.example,mailto:no@victim.example";
  const zone = {
    "_dmarc.example.net TXT": [rua],
    "example.net._report._dmarc.collector.example TXT": ["v=DMARC1"],
  };
  const found = await reportDestinations("example.net", zoneResolver(zone), organizationalDomain);
  assert.deepEqual(found.kind === "found" ? found.addresses.map(({ address }) => address) : found, [
    "in@reports.example.net",
    "yes@collector.example",
  ]);
  const failing = { ...zone, "example.net._report._dmarc.victim.example TXT": "fail" as const };
  const partly = await reportDestinations("example.net", zoneResolver(failing), organizationalDomain);
  assert.deepEqual(partly.kind === "found" && partly.unknown, [{ address: "no@victim.example", text: "no answer" }]);
  const only = { ...failing, "_dmarc.example.net TXT": ["v=DMARC1; p=none; rua=mailto:no@victim.example"] };
  assert.equal((await reportDestinations("example.net", zoneResolver(only), organizationalDomain)).kind, "failed");
  assert.equal((await reportDestinations("gone.example", zoneResolver(zone), organizationalDomain)).kind, "none");
});

test("what is observed travels in bundles, waits while nobody takes it, and has a bound", async () => {
  const clock = virtualClock(NOON);
  const taken: number[] = [];
  let isAway = true;
  const collector = dmarcCollector(
    {
      noteDmarc: async (observations) => {
        if (isAway) throw new Error("away");
        taken.push(observations.length);
      },
    },
    clock,
  );
  for (let at = 0; at < 6000; at++) collector.observe(observation());
  await clock.advance(1000);

  isAway = false;
  await clock.advance(1000);
  await collector.close();
  assert.equal(
    taken.reduce((sum, count) => sum + count, 0),
    5000,
  );
  assert.ok(taken.every((count) => count <= 100));
});
