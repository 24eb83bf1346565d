import assert from "node:assert/strict";
import { test } from "node:test";
import type { Table } from "../../../service/table/table.ts";
import type { Action } from "../action-settings.ts";
import { parseSenderOverride } from "./sender-override.ts";
import { createSenders, noticeAddress, type SenderAnswer, type SenderAsk, type SendersParts } from "./senders.ts";
import { srsSettings, verpSettings } from "./settings.ts";

const relay: Action = { kind: "relay", to: [], backup: false };
const now = Date.UTC(2026, 10, 21);

function senders(over: Partial<SendersParts> = {}) {
  return createSenders({
    hostname: "mx.example.org",
    srs: srsSettings.parse({}),
    srsSecrets: ["secret"],
    tables: new Map(),
    isLocalDomain: (domain) => Promise.resolve(domain === "example.org"),
    now: () => now,
    ...over,
  });
}

function of(ask: Partial<SenderAsk>, over: Partial<SendersParts> = {}): Promise<SenderAnswer> {
  return senders(over).senderFor({
    sender: "alice@elsewhere.example",
    given: "bob@example.org",
    action: relay,
    isForwarded: false,
    ...ask,
  });
}

const as = (text: string) => {
  const parsed = parseSenderOverride(text);
  assert.ok(parsed.ok);
  return parsed.value;
};

test("mail that nobody forwards keeps its sender", async () => {
  assert.deepEqual(await of({}), { kind: "sender", sender: undefined });
});

test("mail from elsewhere that is forwarded elsewhere leaves with a sender of ours, and bounces to it are understood", async () => {
  const answer = await of({ isForwarded: true });
  assert.ok(answer.kind === "sender" && answer.sender !== undefined);
  assert.equal(answer.by, "srs");
  assert.match(answer.sender, /^SRS0=....=..=elsewhere\.example=alice@mx\.example\.org$/);
  assert.deepEqual(senders().returned(answer.sender), { kind: "address", address: "alice@elsewhere.example" });
  assert.deepEqual(senders().returned("bob@mx.example.org"), { kind: "other" });
  // At another domain it is somebody else's.
  assert.equal(senders().returned(answer.sender.replace("mx.example.org", "example.net")).kind, "other");
  assert.equal(senders().returned(answer.sender.replace("alice", "mallory")).kind, "refused");
});

test("our own senders, local deliveries, actions without SRS and servers without SRS keep the sender", async () => {
  const plain = { kind: "sender", sender: undefined };
  assert.deepEqual(await of({ isForwarded: true, sender: "bob@example.org" }), plain);
  assert.deepEqual(await of({ isForwarded: true, sender: "bob@MX.example.org" }), plain);
  assert.deepEqual(await of({ isForwarded: true, action: { kind: "deliver", as: "maildir" } }), plain);
  assert.deepEqual(await of({ isForwarded: true, action: { ...relay, sender: { srs: false } } }), plain);
  assert.deepEqual(await of({ isForwarded: true }, { srs: undefined }), plain);
  assert.deepEqual(await of({ isForwarded: true }, { srsSecrets: [] }), plain);
});

test("an action may say that all its mail is forwarded", async () => {
  const answer = await of({ action: { ...relay, sender: { srs: true } } });
  assert.equal(answer.kind === "sender" && answer.by, "srs");
});

test("a table of domains that cannot be asked is told, for the sender to come again", async () => {
  const failing = { isLocalDomain: () => Promise.resolve({ failed: "no database" }) };
  assert.deepEqual(await of({ isForwarded: true }, failing), { kind: "failed", text: "no database" });
});

test("what was said on purpose is not rewritten: the owner first, then the rule, then the action", async () => {
  const action: Action = { ...relay, sender: { as: as("@lists.example") } };
  const isForwarded = true;
  assert.deepEqual(await of({ isForwarded, action }), { kind: "sender", sender: "alice@lists.example", by: "as" });
  assert.deepEqual(await of({ isForwarded, action, as: as("robot") }), {
    kind: "sender",
    sender: "robot@elsewhere.example",
    by: "as",
  });
  assert.deepEqual(await of({ isForwarded, action, owner: "owner-list@example.org" }), {
    kind: "sender",
    sender: "owner-list@example.org",
    by: "owner",
  });
});

test("the null sender stays null, whatever everybody wants", async () => {
  const action: Action = { ...relay, sender: { as: as("x@lists.example"), verp: { before: "+", at: "=" } } };
  const answer = await of({ sender: "", isForwarded: true, action, owner: "owner@example.org", as: as("robot") });
  assert.deepEqual(answer, { kind: "sender", sender: undefined });
});

test("VERP: by table, by the action, by request; on top of what else the sender became", async () => {
  const listed = { verp: verpSettings.parse({ senders: ["bounces@list.example"] }) };
  const sender = "bounces@list.example";
  const expected = { kind: "sender", sender: "bounces+bob=example.org@list.example", by: "verp" };
  assert.deepEqual(await of({ sender }, listed), expected);
  assert.deepEqual(await of({}, listed), { kind: "sender", sender: undefined });
  assert.deepEqual(await of({ sender, action: { ...relay, sender: { verp: false } } }, listed), {
    kind: "sender",
    sender: undefined,
  });
  assert.deepEqual(await of({ sender, action: { ...relay, sender: { verp: { before: "+", at: "=" } } } }), expected);
  assert.deepEqual(await of({ sender, verp: { before: "-", at: "=" } }), {
    ...expected,
    sender: "bounces-bob=example.org@list.example",
  });
  assert.deepEqual(await of({ owner: "owner-l@example.org", verp: { before: "+", at: "=" } }), {
    ...expected,
    sender: "owner-l+bob=example.org@example.org",
  });
});

test("a table of senders that cannot be asked is a failure, not a no", async () => {
  const table = { name: "lists", has: () => Promise.resolve({ kind: "failed", text: "gone" }) } as unknown as Table;
  const parts = { verp: verpSettings.parse({ senders: "table:lists" }), tables: new Map([["lists", table]]) };
  assert.deepEqual(await of({}, parts), { kind: "failed", text: "gone" });
});

test("where a local part would be too long for the RFC the settings decide, and what no path can hold stays", async () => {
  const sender = `${"a".repeat(50)}@elsewhere.example`;
  const sent = await of({ isForwarded: true, sender });
  assert.ok(sent.kind === "sender" && sent.by === "srs");
  const kept = await of({ isForwarded: true, sender }, { srs: srsSettings.parse({ longLocalParts: "keep" }) });
  assert.deepEqual(kept, { kind: "sender", sender: undefined });
  const huge = `${"a".repeat(225)}@elsewhere.example`;
  assert.deepEqual(await of({ isForwarded: true, sender: huge }), { kind: "sender", sender: undefined });
});

test("notices go to the override, but past an address that only stands for the sender", () => {
  assert.equal(noticeAddress("a@x.example", "owner@example.org"), "owner@example.org");
  assert.equal(noticeAddress("a@x.example", "SRS0=abcd=AB=x.example=a@mx.example.org"), "a@x.example");
  // Somebody before us made it: it is the sender.
  const theirs = "SRS0=abcd=AB=x.example=a@fwd.example";
  assert.equal(noticeAddress(theirs, theirs), theirs);
  assert.equal(noticeAddress("", ""), "");
});
