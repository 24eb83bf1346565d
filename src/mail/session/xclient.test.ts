import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { isLoopback } from "../../service/table/networks.ts";
import { dialogue, type Dialogue } from "../../testing/dialogue.ts";
import { tlsFacts } from "../../testing/tls-facts.ts";
import type { Peer } from "./state.ts";

const PROXY: Peer = { address: "127.0.0.1", port: 4242, name: "localhost" };
const STRANGER = "XCLIENT ADDR=198.51.100.66 NAME=stranger.example";
const ofThisHost = ({ address }: Peer): boolean => address !== undefined && isLoopback(address);
const code = (replies: readonly string[]): string => replies.map((each) => each.slice(0, 3)).join(" ");

function proxied(terms: Parameters<typeof dialogue>[0] = {}): Dialogue {
  const talk = dialogue({ mayXclient: ofThisHost, mayXforward: ofThisHost, ...terms }, { peer: PROXY });
  talk.say("EHLO proxy");
  return talk;
}

test("XCLIENT is for trusted clients, changes who the client is, and starts anew", () => {
  assert.equal(code(dialogue().say("XCLIENT ADDR=198.51.100.7")), "550");
  const talk = dialogue({ mayXclient: ofThisHost }, { peer: PROXY });
  assert.match(talk.say("EHLO proxy").join(), /XCLIENT NAME ADDR/);
  assert.equal(code(talk.say("XCLIENT ADDR=not.an.address")), "501");
  assert.match(talk.say("XCLIENT NAME=spike.example ADDR=IPV6:2001:db8::7 LOGIN=ann HELO=h.example").join(), /^220/);
  assert.deepEqual(talk.session.facts.peer, { address: "2001:db8::7", port: undefined, name: "spike.example" });
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "503");
  assert.match(talk.say("EHLO x").join(), /^250/);
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");
  assert.equal(talk.session.facts.account, "ann");
});

test("an address has one spelling, however the proxy writes it", () => {
  for (const [written, address] of [
    ["IPV6:::ffff:198.51.100.7", "198.51.100.7"],
    ["IPV6:2001:DB8:0:0::7", "2001:db8::7"],
  ] as const) {
    const talk = proxied();
    talk.say(`XCLIENT ADDR=${written}`);
    assert.equal(talk.session.facts.peer.address, address);
  }
});

test("a client whose address a proxy does not know is a stranger, not a program of this host", () => {
  for (const unknown of ["[UNAVAILABLE]", "[TEMPUNAVAIL]", ""]) {
    const talk = proxied();
    assert.match(talk.say(`XCLIENT ADDR=${unknown} NAME=[UNAVAILABLE]`).join(), /^220/);
    const { address } = talk.session.facts.peer;
    assert.ok(address !== undefined && !isLoopback(address), unknown);
  }
});

test("whom XCLIENT names may say XCLIENT and XFORWARD only where the listener trusts that one", () => {
  const talk = proxied();
  talk.say(STRANGER);
  assert.doesNotMatch(talk.say("EHLO stranger").join(), /XCLIENT|XFORWARD/);
  assert.equal(code(talk.say("XCLIENT LOGIN=admin ADDR=127.0.0.1")), "550");
  assert.equal(code(talk.say("XFORWARD NAME=other.example")), "550");
  assert.equal(talk.session.facts.peer.address, "198.51.100.66");
  assert.equal(talk.session.facts.account, undefined);
  // A proxy behind the proxy.
  const chain = proxied();
  chain.say("XCLIENT ADDR=127.0.0.9 NAME=inner.example");
  assert.match(chain.say("EHLO inner").join(), /XCLIENT/);
  assert.equal(code(chain.say(STRANGER)), "220");
  assert.equal(chain.session.facts.peer.address, "198.51.100.66");
});

test("STARTTLS behind XCLIENT makes nobody the proxy", () => {
  for (const filters of [
    undefined,
    { wants: (stage: string) => stage === "connect", wantsNotes: false, isRestricted: true },
  ]) {
    const talk = dialogue({ mayXclient: ofThisHost }, { peer: PROXY, filters });
    const proceed = { kind: "filtered", outcome: { kind: "proceed", tags: [], told: [] } } as const;
    if (filters !== undefined) talk.give(proceed);
    talk.say("EHLO proxy");
    talk.say(STRANGER);
    if (filters !== undefined) talk.give(proceed);
    assert.doesNotMatch(talk.say("EHLO stranger").join(), /STARTTLS/);
    assert.match(talk.say("STARTTLS").join(), /^503 5\.5\.1 STARTTLS comes before XCLIENT/);
    assert.deepEqual(talk.asked, []);
    assert.equal(talk.session.facts.peer.address, "198.51.100.66");
  }
});

test("a proxy that has started TLS speaks for others in it; where TLS is asked for it has to", () => {
  const talk = proxied({ tls: "require" });
  assert.match(talk.say(STRANGER).join(), /^530/);
  assert.equal(talk.session.facts.peer, PROXY);
  talk.say("STARTTLS");
  talk.give({ kind: "tls-started", tls: tlsFacts() });
  talk.say("EHLO proxy");
  assert.match(talk.say(STRANGER).join(), /^220/);
  talk.say("EHLO stranger");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^250/);
  assert.equal(talk.session.facts.peer.address, "198.51.100.66");
});

test("whom XCLIENT names without a login has none, whoever logged in before", () => {
  const chain = proxied();
  chain.say("XCLIENT ADDR=127.0.0.9 LOGIN=ann");
  assert.equal(chain.session.facts.account, "ann");
  chain.say("EHLO inner");
  assert.match(chain.say(STRANGER).join(), /^220/);
  assert.deepEqual([chain.session.facts.account, chain.session.facts.mechanism], [undefined, undefined]);

  const own = proxied({ auth: "offer", mayAuthenticateInPlain: true });
  own.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  own.give({ kind: "checked", answer: { kind: "right", account: "proxy" } });
  assert.equal(own.session.facts.account, "proxy");
  own.say(STRANGER);
  assert.deepEqual([own.session.facts.account, own.session.facts.mechanism], [undefined, undefined]);
});

test("of a client that several XCLIENT commands name, the login may come before the address", () => {
  const talk = proxied();
  assert.match(talk.say("XCLIENT HELO=client.example PROTO=ESMTP LOGIN=ada").join(), /^220/);
  assert.match(talk.say("XCLIENT DESTPORT=587").join(), /^220/);
  assert.match(talk.say("XCLIENT PORT=4711 ADDR=203.0.113.9").join(), /^220/);
  const { peer, account, mechanism } = talk.session.facts;
  assert.deepEqual([peer.address, peer.port, account, mechanism], ["203.0.113.9", 4711, "ada", "XCLIENT"]);

  const said = proxied();
  said.say("XCLIENT LOGIN=ada");
  said.say("XCLIENT LOGIN=[UNAVAILABLE] ADDR=203.0.113.9");
  assert.equal(said.session.facts.account, undefined);
});

test("a login that was another's already is not that of whom a later XCLIENT names", () => {
  for (const before of ["ADDR=127.0.0.1 LOGIN=ada", "NAME=inner.example LOGIN=ada"]) {
    const talk = proxied();
    talk.say(`XCLIENT ${before}`);
    assert.equal(talk.session.facts.account, "ada");
    talk.say(STRANGER);
    assert.deepEqual([talk.session.facts.account, talk.session.facts.mechanism], [undefined, undefined], before);
  }
  const sender = proxied();
  sender.say("XCLIENT LOGIN=ada");
  sender.say("EHLO ada");
  assert.match(sender.say("MAIL FROM:<ada@example.org>").join(), /^250/);
  sender.say("RSET");
  sender.say(STRANGER);
  assert.equal(sender.session.facts.account, undefined);
});

test("what filters refused to the proxy is not refused to whom it names, and the other way round", () => {
  const filters = { wants: (stage: string) => stage === "connect", wantsNotes: false, isRestricted: true };
  const talk = dialogue({ mayXclient: ofThisHost }, { peer: PROXY, filters });
  const proceed = { kind: "filtered", outcome: { kind: "proceed", tags: [], told: [] } } as const;
  const no = reply(550, "5.7.1", "Not wanted");
  talk.give(proceed);
  talk.say("EHLO x");
  talk.say("XCLIENT ADDR=127.0.0.9 NAME=inner.example");
  const [asked] = talk.asked;
  assert.ok(asked?.do === "filter" && asked.isAnew === true && asked.question.stage === "connect");
  talk.give({ ...proceed, outcome: { ...proceed.outcome, kind: "refuse", reply: no, by: { filter: "strict" } } });
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^550 5\.7\.1 Not wanted/);
  talk.say(STRANGER);
  talk.give(proceed);
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^250/);
});
