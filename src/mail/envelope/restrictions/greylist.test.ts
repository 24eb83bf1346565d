import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { virtualClock } from "../../../simulator/clock.ts";
import { restrictionWorld } from "../../../testing/restriction-world.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import type { SessionFactsForRules } from "../policy.ts";
import {
  decideGreylist,
  greylistFinding,
  tripletOf,
  type GreylistAnswer,
  type GreylistEntry,
  type GreylistNetwork,
} from "./greylist.ts";
import { greylistSettings } from "./greylist-settings.ts";
import { networkKey } from "./network-key.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const terms = greylistSettings.parse({});

/** One network's memory, asked at times that tests choose. */
function memory(changes: object = {}) {
  const clock = virtualClock(1000 * DAY);
  const settings = greylistSettings.parse(changes);
  const entries = new Map<string, GreylistEntry>();
  let network: GreylistNetwork | undefined;
  return {
    clock,
    ask: (triplet = "a"): GreylistAnswer => {
      const decision = decideGreylist(clock.now(), settings, entries.get(triplet), network);
      if (decision.entry !== undefined) entries.set(triplet, decision.entry);
      network = decision.network ?? network;
      return decision.answer;
    },
  };
}

test("the first time waits, too soon waits for what is left, and then it is known", async () => {
  const { clock, ask } = memory();
  assert.deepEqual(ask(), { kind: "wait", leftMs: 5 * MINUTE, isNew: true });
  await clock.advance(2 * MINUTE);
  assert.deepEqual(ask(), { kind: "wait", leftMs: 3 * MINUTE, isNew: false });
  await clock.advance(3 * MINUTE);
  assert.deepEqual(ask(), { kind: "arrived", waitedMs: 5 * MINUTE });
  assert.deepEqual(ask(), { kind: "pass", because: "known" });
  assert.equal(ask("b").kind, "wait");
});

test("who comes again too late begins anew", async () => {
  const { clock, ask } = memory({ retryWithin: "1h" });
  ask();
  await clock.advance(HOUR + 1);
  assert.deepEqual(ask(), { kind: "wait", leftMs: 5 * MINUTE, isNew: true });
  await clock.advance(5 * MINUTE);
  assert.equal(ask().kind, "arrived");
});

test("each mail keeps what is known alive; without one it is forgotten", async () => {
  const { clock, ask } = memory({ rememberFor: "10d" });
  ask();
  await clock.advance(HOUR);
  ask();
  for (let n = 0; n < 3; n++) {
    await clock.advance(9 * DAY);
    assert.deepEqual(ask(), { kind: "pass", because: "known" });
  }
  await clock.advance(10 * DAY + 1);
  assert.equal(ask().kind, "wait");
});

test("a network whose mail came again often enough, an hour apart, is let in with whatever it brings", async () => {
  const { clock, ask } = memory({ autoAllowAfter: 3 });
  for (const name of ["a", "b", "c", "d"]) ask(name);
  await clock.advance(10 * MINUTE);
  // All in one hour count once.
  for (const name of ["a", "b", "c", "d"]) assert.equal(ask(name).kind, "arrived");
  assert.equal(ask("new").kind, "wait");
  for (const name of ["e", "f"]) {
    ask(name);
    await clock.advance(HOUR);
    assert.equal(ask(name).kind, "arrived");
  }
  assert.deepEqual(ask("newer"), { kind: "pass", because: "network" });
});

test("a network is never let in by itself where the settings say 0", async () => {
  const { clock, ask } = memory({ autoAllowAfter: 0 });
  for (let n = 0; n < 30; n++) {
    ask(`t${n}`);
    await clock.advance(HOUR);
    assert.equal(ask(`t${n}`).kind, "arrived");
  }
  assert.equal(ask("another").kind, "wait");
});

test("a clock that is set back makes nobody wait longer than the delay", () => {
  fc.assert(
    fc.property(fc.integer({ min: -400 * DAY, max: 400 * DAY }), (step) => {
      const now = 1000 * DAY;
      const entry = { firstAt: now, lastAt: now, hasPassed: false };
      const { answer } = decideGreylist(now + step, terms, entry, undefined);
      if (answer.kind === "wait") assert.ok(answer.leftMs > 0 && answer.leftMs <= terms.delay);
    }),
  );
});

test("what changes from mail to mail is not part of a sender", () => {
  const of = (sender: string): string => tripletOf(terms, "192.0.2.5", sender, "bob@ours.example").sender;
  assert.equal(of("list-bounces-1234@lists.example"), of("list-bounces-99@lists.example"));
  assert.equal(of("SRS0=ab12=XY=good.example=eve@fwd.example"), of("SRS0=zz99=AB=good.example=eve@fwd.example"));
  assert.equal(of("prvs=1234abcdef=eve@good.example"), "eve@good.example");
  assert.equal(of("eve+tag@Good.Example"), "eve@good.example");
  assert.equal(of(""), "<>");
  assert.notEqual(of("eve@good.example"), of("mallory@good.example"));
});

test("neighbours in a network are one client", () => {
  assert.equal(networkKey("192.0.2.5", 24, 64), "192.0.2.0/24");
  assert.equal(networkKey("192.0.2.5", 32, 64), "192.0.2.5");
  assert.equal(networkKey("2001:db8:1:2:3:4:5:6", 24, 64), "2001:db8:1:2::/64");
  assert.equal(networkKey("2001:db8::1", 24, 128), "2001:db8:0:0:0:0:0:1");
  assert.equal(networkKey("::ffff:192.0.2.77", 24, 64), "192.0.2.0/24");
});

const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.5",
  isEncrypted: false,
  sender: "eve@good.example",
  accepted: 0,
};

async function found(answer: GreylistAnswer, facts: Partial<SessionFactsForRules> = {}) {
  const world = restrictionWorld({ greylist: { askGreylist: () => Promise.resolve(answer) } });
  const ask = { facts: { ...stranger, ...facts }, recipient: "bob@ours.example", stage: "rcpt" } as const;
  return greylistFinding(world, terms, ask);
}

test("the reply says how long, in seconds", async () => {
  const no = await found({ kind: "wait", leftMs: 299_001, isNew: true });
  assert.ok(no.kind === "wait");
  assert.equal(
    replyText(no.reply),
    "450 4.7.1 <bob@ours.example>: Recipient address rejected: Greylisted, try again in 300 seconds",
  );
});

test("who is logged in, has a certificate of ours, or is this host is never greylisted", async () => {
  const wait: GreylistAnswer = { kind: "wait", leftMs: 1000, isNew: true };
  const certificate = { fingerprints: [], isVerified: true, names: [], mayRelay: true };
  for (const facts of [
    { account: "ada" },
    { clientAddress: "127.0.0.1" },
    { clientAddress: undefined },
    { certificate },
  ])
    assert.equal((await found(wait, facts)).kind, "pass");
});

test("a memory that cannot be asked makes mail wait", async () => {
  assert.equal((await found({ kind: "failed", text: "disk" })).kind, "wait");
});
