import assert from "node:assert/strict";
import { test } from "node:test";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import type { SessionFactsForRules } from "../policy.ts";
import { dnsListSettings } from "./dns-list-settings.ts";
import { dnsListFinding, queryName } from "./dns-lists.ts";

const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.9",
  clientName: "mail.spam.example",
  helo: "friend.example",
  isEncrypted: false,
  sender: "eve@Spam.Example",
  accepted: 0,
};
const clock = virtualClock(0);
const resolver = zoneResolver({
  "9.2.0.192.bad.test A": ["127.0.0.2"],
  "9.2.0.192.bad.test TXT": ["listed, see\nhttps://bad.test/"],
  "9.2.0.192.mixed.test A": ["127.0.0.10", "127.0.0.4"],
  "9.2.0.192.good.test A": ["127.0.5.1"],
  "9.2.0.192.refusing.test A": ["127.255.255.254"],
  "9.2.0.192.parked.test A": ["198.51.100.80"],
  "9.2.0.192.broken.test A": "fail",
  "9.2.0.192.silent.test A": "hang",
  "9.2.0.192.mute.test A": ["127.0.0.2"],
  "9.2.0.192.mute.test TXT": "hang",
  "spam.example.names.test A": ["127.0.0.2"],
  "friend.example.names.test A": ["127.0.0.2"],
  "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bad.test A": ["127.0.0.2"],
});

async function told(written: object, facts: Partial<SessionFactsForRules> = {}): Promise<string> {
  const ask = { facts: { ...stranger, ...facts }, recipient: "bob@ours.example", stage: "rcpt" } as const;
  const found = await dnsListFinding({ resolver, clock }, dnsListSettings.parse(written), ask);
  if (found.kind === "permit") return "permit";
  if (found.kind === "pass") return `pass ${found.aside ?? ""}`.trim();
  return `${found.kind} ${replyText(found.reply)} [${found.detail}]`;
}

test("an entry of one list refuses, with the list's reason on one line", async () => {
  assert.equal(
    await told({ lists: ["bad.test", "other.test"] }),
    "refuse 554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bad.test; listed, see?https://bad.test/ [bad.test 127.0.0.2 (1): 1; listed, see?https://bad.test/]",
  );
  assert.equal(await told({ lists: ["bad.test"] }, { clientAddress: "192.0.2.10" }), "pass");
});

test("weights add up to a total that passes, waits or refuses; good lists take away", async () => {
  const lists = [
    { zone: "bad.test", weight: 2 },
    { zone: "mixed.test", weight: 3 },
  ];
  assert.match(await told({ lists, reject: 6 }), /^pass .*: 5$/);
  assert.match(await told({ lists, reject: 6, defer: 5 }), /^wait 450 4\.7\.1 .*blocked using mixed\.test/);
  assert.match(await told({ lists, reject: 5 }), /^refuse 554/);
  assert.match(await told({ lists: [...lists, { zone: "good.test", weight: -4 }], reject: 2 }), /^pass .*: 1$/);
});

test("only the answers that are named count", async () => {
  const listed = (answers: unknown): Promise<string> => told({ lists: [{ zone: "mixed.test", answers }] });
  assert.match(await listed("127.0.0.4"), /^refuse .*mixed\.test 127\.0\.0\.4 \(1\)/);
  assert.match(await listed(["127.0.0.2", "127.0.0.9-127.0.0.11"]), /^refuse .*mixed\.test 127\.0\.0\.10 \(1\)/);
  assert.equal(await listed("127.0.0.5-127.0.0.9"), "pass");
});

test("lists that fail, refuse to answer, answer everything or take too long count nothing", async () => {
  assert.equal(await told({ lists: ["broken.test"] }), "pass broken.test not to be had");
  assert.equal(await told({ lists: ["refusing.test"] }), "pass refusing.test not to be had");
  assert.equal(await told({ lists: ["parked.test"] }), "pass");
  const waiting = told({ lists: ["silent.test", "bad.test"], timeout: "2s" });
  await clock.advance(2000);
  assert.match(await waiting, /^refuse .*bad\.test 127\.0\.0\.2 \(1\): 1; .*; silent\.test not to be had\]$/);
});

test("a reason that does not come is done without", async () => {
  const waiting = told({ lists: ["mute.test"], timeout: "2s" });
  await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(2000);
  assert.match(await waiting, /^refuse 554 5\.7\.1 Service unavailable; .* blocked using mute\.test \[/);
});

test("names are looked up in lists of names, IPv6 addresses by nibbles", async () => {
  assert.match(await told({ lists: [{ zone: "names.test", of: "sender" }] }), /Sender address \[eve@Spam\.Example\]/);
  assert.match(await told({ lists: [{ zone: "names.test", of: "helo" }] }), /Helo command \[friend\.example\]/);
  assert.equal(await told({ lists: [{ zone: "names.test", of: "client-name" }] }), "pass");
  assert.equal(await told({ lists: [{ zone: "names.test", of: "sender" }] }, { sender: "" }), "pass");
  assert.match(await told({ lists: ["bad.test"] }, { clientAddress: "2001:db8::1" }), /^refuse/);
  assert.match(await told({ lists: ["bad.test"] }, { clientAddress: "::ffff:192.0.2.9" }), /^refuse/);
  assert.equal(await told({ lists: ["bad.test"] }, { clientAddress: undefined }), "pass");
});

test("what is no name is not asked for", () => {
  const [list] = dnsListSettings.parse({ lists: [{ zone: "names.test", of: "helo" }] }).lists;
  assert.ok(list);
  for (const helo of ["[192.0.2.9]", "a b", "a..b", "x".repeat(64), `${"long.".repeat(50)}x`, "a/b", ""])
    assert.equal(queryName(list, { ...stranger, helo }), undefined, helo);
});

test("settings refuse answers that are none, and a wait beyond the refusal", () => {
  for (const written of [
    { lists: [] },
    { lists: ["no zone"] },
    { lists: [{ zone: "a.test", answers: "127.0.0.9-127.0.0.2" }] },
    { lists: [{ zone: "a.test", answers: "2" }] },
    { lists: ["a.test"], reject: 2, defer: 2 },
  ])
    assert.equal(dnsListSettings.safeParse(written).success, false, JSON.stringify(written));
});
