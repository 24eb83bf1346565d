import assert from "node:assert/strict";
import { test } from "node:test";
import { scramClient } from "../../protocol/sasl/scram-client.ts";
import type { SaslAnswer } from "../../protocol/sasl/question.ts";
import { dialogue, type Dialogue } from "../../testing/dialogue.ts";
import { eventLog } from "../../testing/reception.ts";
import { tlsFacts } from "../../testing/tls-facts.ts";

const EXPORTED = Buffer.from("what both ends know");

function begun(about: Parameters<typeof dialogue>[1] = {}, terms: Parameters<typeof dialogue>[0] = {}): Dialogue {
  const talk = dialogue({ auth: "offer", ...terms }, { tls: tlsFacts(), ...about });
  talk.say("EHLO x");
  return talk;
}

function respond(talk: Dialogue, text: string | Buffer): readonly string[] {
  return talk.give({ kind: "response", line: Buffer.from(text).toString("base64"), bytesBehind: 0 });
}

function challengeOf(said: readonly string[]): string {
  const line = /^334 (\S*)$/.exec(said.join());
  assert.ok(line, said.join());
  return Buffer.from(line[1] ?? "", "base64").toString();
}

function give(talk: Dialogue, answer: SaslAnswer): readonly string[] {
  return talk.give({ kind: "checked", answer });
}

function offered(talk: Dialogue): string {
  return /AUTH ([A-Z0-9 -]*?)(?: ENHANCED|$)/.exec(talk.say("EHLO again").join(" "))?.[1] ?? "";
}

test("-PLUS is offered where the TLS connection has something to tie a login to", () => {
  assert.match(offered(begun({ bindings: { "tls-exporter": EXPORTED } })), /^SCRAM-SHA-256-PLUS SCRAM-SHA-256 /);
  assert.match(offered(begun({ bindings: { "tls-server-end-point": EXPORTED } })), /^SCRAM-SHA-256-PLUS /);
  assert.doesNotMatch(offered(begun()), /PLUS/);
  const plain = dialogue({ auth: "offer", mayAuthenticateInPlain: true }, { bindings: { "tls-exporter": EXPORTED } });
  assert.doesNotMatch(offered(plain), /PLUS/);
});

test("only what the listener has is offered and heard", () => {
  const talk = begun({}, { mechanisms: ["SCRAM-SHA-256"] });
  assert.equal(offered(talk), "SCRAM-SHA-256");
  assert.match(talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=").join(), /^504 5\.5\.4/);
});

test("SCRAM goes back and forth: the salt, the proof, our own proof, and only then is the client somebody", async () => {
  const log = eventLog();
  const talk = begun({ emit: log.emit, bindings: { "tls-exporter": EXPORTED } });
  const client = scramClient(
    "SCRAM-SHA-256-PLUS",
    { user: "ann", password: "x" },
    {
      nonce: "client",
      derive: async () => Buffer.alloc(32),
      binding: { kind: "tls-exporter", value: EXPORTED },
    },
  );
  assert.deepEqual(talk.say(`AUTH SCRAM-SHA-256-PLUS ${client.initial?.toString("base64")}`), []);
  const from = { address: "192.0.2.9" };
  assert.deepEqual(talk.asked, [{ do: "check", question: { kind: "scram-salt", user: "ann", hash: "SHA-256" }, from }]);
  const first = challengeOf(give(talk, { kind: "salt", salt: "AAAA", iterations: 4096 }));
  assert.equal(first, "r=clienta-nonce-of-the-server,s=AAAA,i=4096");
  const final = await client.respond(Buffer.from(first));
  assert.ok(final.ok);
  respond(talk, final.value);
  assert.ok(talk.asked[0]?.do === "check" && talk.asked[0].question.kind === "scram-proof");
  assert.equal(challengeOf(give(talk, { kind: "right", account: "ann", serverSignature: "BBBB" })), "v=BBBB");
  assert.equal(talk.session.facts.account, undefined);
  assert.match(talk.give({ kind: "response", line: "", bytesBehind: 0 }).join(), /^235 2\.7\.0/);
  assert.equal(talk.session.facts.account, "ann");
  assert.equal(talk.session.facts.mechanism, "SCRAM-SHA-256-PLUS");
});

test("a proof that is wrong, and one for another connection, are told in SCRAM's words", () => {
  const talk = begun({ bindings: { "tls-exporter": EXPORTED } });
  const start = (gs2: string): void => {
    talk.say(
      `AUTH SCRAM-SHA-256${gs2.startsWith("p") ? "-PLUS" : ""} ${Buffer.from(`${gs2}n=ann,r=c`).toString("base64")}`,
    );
    give(talk, { kind: "salt", salt: "AAAA", iterations: 4096 });
  };
  const nonce = "r=ca-nonce-of-the-server";
  start("n,,");
  respond(talk, `c=biws,${nonce},p=AAAA`);
  assert.match(give(talk, { kind: "wrong" }).join(), /^535 5\.7\.8 .*\(invalid-proof\)/);
  start("p=tls-exporter,,");
  const other = Buffer.from("p=tls-exporter,,another connection").toString("base64");
  assert.match(respond(talk, `c=${other},${nonce},p=AAAA`).join(), /^535 5\.7\.8 .*\(channel-bindings-dont-match\)/);
  assert.match(
    talk.say(`AUTH SCRAM-SHA-256 ${Buffer.from("y,,n=ann,r=c").toString("base64")}`).join(),
    /^535 5\.7\.8 .*\(server-does-support-channel-binding\)/,
  );
  // The third failure was the last one here.
  assert.equal(talk.session.phase.at, "closed");
});

test("a token that is no good is logged when that is known, for some clients leave instead of answering our JSON", () => {
  const log = eventLog();
  const talk = begun({ emit: log.emit });
  const message = Buffer.from("user=ann\x01auth=Bearer abc\x01\x01").toString("base64");
  const failures = (): number => log.names.filter((name) => name === "session.authentication-failed").length;
  talk.say(`AUTH XOAUTH2 ${message}`);
  assert.match(challengeOf(give(talk, { kind: "wrong", because: "it has expired" })), /"status":"401"/);
  assert.equal(failures(), 1);
  assert.match(log.lines.at(-1) ?? "", /SASL XOAUTH2 authentication failed: authentication failure: it has expired/);
  assert.match(respond(talk, "").join(), /^535/);
  assert.equal(failures(), 1);
  assert.equal(talk.session.authenticationFailures, 1);
});

test("a block is told once, with the login that began it; who is blocked gets 454 and then is closed out", () => {
  const log = eventLog();
  const talk = begun({ emit: log.emit });
  const block = { what: "address", key: "192.0.2.9", failures: 20, untilAt: Date.UTC(2027, 0, 15, 8) } as const;
  talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  assert.match(give(talk, { kind: "wrong", began: [block] }).join(), /^535/);
  assert.deepEqual(
    log.lines.filter((line) => line.includes("are blocked")),
    [
      "warning: logins from 192.0.2.9 are blocked after 20 failures until 2027-01-15T08:00:00Z; last from client.example[192.0.2.9]",
    ],
  );
  for (const expected of [/^454 4\.7\.0 Too many/, /^454 4\.7\.0 .*421 4\.7\.0/]) {
    talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
    assert.match(give(talk, { kind: "blocked", block }).join(), expected);
  }
  assert.equal(log.names.filter((name) => name === "session.logins-blocked").length, 1);
});

test("whom a proxy speaks for is whose failures count", () => {
  const talk = begun({}, { mayXclient: () => true, mayAuthenticateInPlain: true });
  talk.say("XCLIENT ADDR=203.0.113.7 NAME=real.example");
  talk.say("EHLO x");
  talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  const [check] = talk.asked;
  assert.ok(check?.do === "check");
  assert.deepEqual(check.from, { address: "203.0.113.7" });
});
