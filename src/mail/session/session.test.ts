import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../protocol/smtp/reply.ts";
import { accepting, dialogue, plainContent, PLAIN_TERMS, type Dialogue } from "../../testing/dialogue.ts";
import { eventLog } from "../../testing/reception.ts";
import { tlsFacts, tlsFinding } from "../../testing/tls-facts.ts";
import type { Input } from "./state.ts";

function code(replies: readonly string[]): string {
  return replies.map((text) => text.slice(0, 3)).join(" ");
}

/** Up to the point where content may come. */
function withRecipient(talk: Dialogue, mail = "MAIL FROM:<a@b.example>", ...recipients: readonly string[]): void {
  talk.say(talk.world.terms.protocol === "lmtp" ? "LHLO client.example" : "EHLO client.example");
  assert.equal(code(talk.say(mail)), "250");
  for (const recipient of recipients.length === 0 ? ["c@d.example"] : recipients) {
    talk.say(`RCPT TO:<${recipient}>`);
    assert.equal(code(talk.give(accepting(recipient))), "250");
  }
}

test("a message is told 250 only when it is kept, never before", () => {
  const talk = dialogue();
  withRecipient(talk);
  assert.equal(code(talk.say("DATA")), "354");
  assert.deepEqual(talk.give({ kind: "content-ended", content: plainContent() }), []);
  const [commit] = talk.asked;
  assert.equal(commit?.do, "commit");
  assert.deepEqual(talk.give({ kind: "committed" }), ["250 2.0.0 Ok: queued as MESSAGE1"]);
});

test("a commit that failed is told 451, one without room 452, and the session goes on", () => {
  for (const [isFull, expected] of [
    [false, "451 4.3.0"],
    [true, "452 4.3.1"],
  ] as const) {
    const talk = dialogue();
    withRecipient(talk);
    talk.say("DATA");
    talk.give({ kind: "content-ended", content: plainContent() });
    const [text] = talk.give({ kind: "not-committed", isFull, reason: "x" });
    assert.equal(text?.slice(0, 9), expected);
    assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");
  }
});

test("NOTIFY=NEVER for one recipient does not silence what was asked for another that leads to the same mailbox", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  talk.say("MAIL FROM:<a@b.example>");
  talk.say("RCPT TO:<quiet@d.example> NOTIFY=NEVER");
  talk.give(accepting("jane@x.example"));
  talk.say("RCPT TO:<told@d.example> NOTIFY=FAILURE ORCPT=rfc822;told@d.example");
  talk.give(accepting("jane@x.example"));
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  const [commit] = talk.asked;
  assert.ok(commit?.do === "commit");
  assert.deepEqual(
    commit.envelopes.map(({ givenRecipient, notify, originalRecipient }) => [
      givenRecipient,
      notify,
      originalRecipient,
    ]),
    [["told@d.example", ["FAILURE"], "rfc822;told@d.example"]],
  );
});

test("envelopes carry what the client asked for each recipient, and each target gets the message once", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  talk.say("MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B1 BODY=8BITMIME BY=120;N");
  talk.say("RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;C@d.example");
  talk.give(accepting("one@x.example", "two@x.example"));
  talk.say("RCPT TO:<e@d.example>");
  talk.give(accepting("two@x.example"));
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  const [commit] = talk.asked;
  assert.ok(commit?.do === "commit");
  assert.deepEqual(
    commit.envelopes.map(({ id, recipient, givenRecipient, notify, originalRecipient }) => ({
      id,
      recipient,
      givenRecipient,
      notify,
      originalRecipient,
    })),
    ["one@x.example", "two@x.example"].map((recipient, at) => ({
      id: `MESSAGE1.${at + 1}`,
      recipient,
      givenRecipient: "c@d.example",
      // What is usual was asked for the second recipient, and holds for what both lead to.
      notify: at === 0 ? ["SUCCESS", "DELAY"] : ["SUCCESS", "DELAY", "FAILURE"],
      originalRecipient: "rfc822;C@d.example",
    })),
  );
  assert.equal(commit.message.dsnReturn, "HDRS");
  assert.equal(commit.message.dsnEnvelopeId, "QQ+1");
  assert.deepEqual(commit.message.deliverBy, { at: talk.world.nowAt + 120_000, mode: "notify", trace: false });
});

test("commands out of order are refused with 503 and change nothing", () => {
  const talk = dialogue();
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "503");
  talk.say("EHLO x");
  assert.equal(code(talk.say("RCPT TO:<a@b.example>")), "503");
  assert.equal(code(talk.say("DATA")), "503");
  talk.say("MAIL FROM:<a@b.example>");
  assert.equal(code(talk.say("MAIL FROM:<z@b.example>")), "503");
  assert.equal(code(talk.say("DATA")), "554");
  talk.say("RCPT TO:<c@d.example>");
  assert.equal(code(talk.give(accepting("c@d.example"))), "250");
});

test("RSET and a second EHLO end a transaction", () => {
  for (const verb of ["RSET", "EHLO again"]) {
    const talk = dialogue();
    withRecipient(talk);
    assert.equal(code(talk.say(verb)), "250");
    assert.equal(code(talk.say("RCPT TO:<c@d.example>")), "503");
  }
});

test("a client that does not wait for EHLO, DATA, STARTTLS or AUTH is refused clearly and cut", () => {
  for (const line of ["EHLO x", "STARTTLS", "DATA", "AUTH PLAIN"]) {
    const log = eventLog();
    const talk = dialogue({ auth: "offer", mayAuthenticateInPlain: true }, { emit: log.emit });
    if (line !== "EHLO x") withRecipient(talk);
    assert.match(talk.say(line, true).join(), /^554 5\.5\.0 Improper command pipelining/);
    assert.equal(talk.session.phase.at, "closed");
    assert.match(
      log.lines.at(-1) ?? "",
      /^improper command pipelining after \w+ from client\.example\[192\.0\.2\.9\]: 7 bytes too soon$/,
    );
  }
});

test("DATA with something behind it is refused even when DATA itself would have been", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.equal(code(talk.say("DATA", true)), "554");
  assert.equal(talk.session.phase.at, "closed");
});

test("a client of HELO has no permission to send ahead, apart from QUIT; one of EHLO has", () => {
  const plain = dialogue();
  plain.say("HELO x");
  assert.equal(code(plain.say("QUIT", true)), "221");
  const eager = dialogue();
  eager.say("HELO x");
  assert.equal(code(eager.say("MAIL FROM:<a@b.example>", true)), "554");
  const modern = dialogue();
  modern.say("EHLO x");
  assert.equal(code(modern.say("MAIL FROM:<a@b.example>", true)), "250");
});

test("HELO knows no parameters", () => {
  const talk = dialogue();
  talk.say("HELO x");
  assert.equal(code(talk.say("MAIL FROM:<a@b.example> SIZE=1")), "555");
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");
  assert.equal(code(talk.say("RCPT TO:<c@d.example> NOTIFY=NEVER")), "555");
});

test("a size that is announced too large is refused at MAIL", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.equal(code(talk.say(`MAIL FROM:<a@b.example> SIZE=${PLAIN_TERMS.settings.messageSize + 1}`)), "552");
  assert.equal(code(talk.say(`MAIL FROM:<a@b.example> SIZE=${PLAIN_TERMS.settings.messageSize}`)), "250");
});

test("while an operator has paused reception, MAIL is put off with the true reason", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  talk.world.because = "maintenance";
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^450 4\.3\.2 /);
  talk.world.because = undefined;
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^250 /);
});

test("a queue without room answers MAIL with 452 4.3.1", () => {
  const talk = dialogue();
  talk.world.short = "2 MiB free, 100 MiB wanted";
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^452 4\.3\.1/);
});

test("addresses beyond ASCII need SMTPUTF8", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<müller@b.example>").join(), /^553 5\.6\.7/);
  talk.say("MAIL FROM:<a@b.example>");
  assert.match(talk.say("RCPT TO:<müller@b.example>").join(), /^553 5\.6\.7/);
  talk.say("RSET");
  assert.equal(code(talk.say("MAIL FROM:<müller@b.example> SMTPUTF8")), "250");
  talk.say("RCPT TO:<δοκιμή@παράδειγμα.example>");
  assert.equal(talk.asked[0]?.do, "judge");
});

test("an address at a name beyond ASCII is kept in A-labels", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  talk.say("MAIL FROM:<a@bücher.example> SMTPUTF8");
  talk.say("RCPT TO:<c@d.example>");
  const [ask] = talk.asked;
  assert.ok(ask?.do === "judge");
  assert.equal(ask.facts.sender, "a@xn--bcher-kva.example");
});

test("postmaster needs no domain, and the null sender is a sender", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.equal(code(talk.say("MAIL FROM:<>")), "250");
  talk.say("RCPT TO:<Postmaster>");
  const [ask] = talk.asked;
  assert.ok(ask?.do === "judge");
  assert.equal(ask.recipient, "postmaster");
  assert.equal(ask.facts.sender, "");
});

test("recipients beyond the limit get 452 and do no harm to those before", () => {
  const talk = dialogue({ settings: { ...PLAIN_TERMS.settings, recipients: 2, errors: 2 } });
  withRecipient(talk, undefined, "a@x.example", "b@x.example");
  for (let at = 0; at < 5; at++) assert.match(talk.say("RCPT TO:<c@x.example>").join(), /^452 4\.5\.3/);
  assert.equal(code(talk.say("DATA")), "354");
});

test("a refused recipient is logged as Postfix logs it", () => {
  const log = eventLog();
  const talk = dialogue({}, { emit: log.emit });
  talk.say("EHLO me.example");
  talk.say("MAIL FROM:<a@b.example>");
  talk.say("RCPT TO:<no@d.example>");
  const judgement = { kind: "reject", reply: reply(550, "5.1.1", "No such user"), because: "x" } as const;
  assert.deepEqual(talk.give({ kind: "judged", judgement }), ["550 5.1.1 No such user"]);
  assert.deepEqual(log.lines, [
    "NOQUEUE: reject: RCPT from client.example[192.0.2.9]: 550 5.1.1 <no@d.example>: No such user; " +
      "from=<a@b.example> to=<no@d.example> proto=ESMTP helo=<me.example>",
  ]);
});

test("the rule that refused is named in the log", () => {
  const log = eventLog();
  const talk = dialogue({}, { emit: log.emit });
  talk.say("EHLO me.example");
  talk.say("MAIL FROM:<a@b.example>");
  talk.say("RCPT TO:<no@d.example>");
  const judgement = {
    kind: "reject",
    reply: reply(550, "5.7.1", "no"),
    because: "spammers",
    rule: "spammers",
  } as const;
  talk.give({ kind: "judged", judgement });
  assert.match(log.lines[0] ?? "", / helo=<me\.example> rule=<spammers>$/);
});

test("too many errors end the session", () => {
  const log = eventLog();
  const talk = dialogue({ settings: { ...PLAIN_TERMS.settings, errors: 3 } }, { emit: log.emit });
  talk.say("WHAT");
  talk.say("WHAT");
  assert.equal(code(talk.say("WHAT")), "500 421");
  assert.equal(talk.session.phase.at, "closed");
  assert.equal(log.lines.at(-1), "too many errors after UNKNOWN from client.example[192.0.2.9]");
});

test("commands that bring no mail forward are limited between two messages", () => {
  const talk = dialogue({ settings: { ...PLAIN_TERMS.settings, idleCommands: 10 } });
  talk.say("EHLO x");
  for (let at = 0; at < 9; at++) assert.equal(code(talk.say("NOOP")), "250");
  talk.say("MAIL FROM:<a@b.example>");
  for (let at = 0; at < 10; at++) assert.equal(code(talk.say("NOOP")), "250");
  assert.equal(code(talk.say("NOOP")), "421");
});

test("where the author matters a header that some readers read on is refused", () => {
  for (const wants of [true, false, "to-warn"] as const) {
    const log = eventLog();
    const talk = dialogue({}, { emit: log.emit });
    talk.world.wantsAuthor = () => wants;
    talk.say("EHLO x");
    talk.say("MAIL FROM:<ada@example.org>");
    talk.say("RCPT TO:<bob@example.org>");
    talk.give(accepting("bob@example.org"));
    talk.say("DATA");
    const content = plainContent({ isHeaderBroken: true, authorFields: ["ada@example.org"] });
    const [said = ""] = talk.give({ kind: "content-ended", content });
    assert.equal(said.slice(0, 9), wants === true ? "550 5.6.0" : "");
    assert.equal(talk.asked[0]?.do, wants === true ? "abandon" : wants === false ? "commit" : "weigh");
    const warned = log.lines.filter((line) =>
      /reject_warning: .* 550 5\.6\.0 .* restriction=<sender-rights>/.test(line),
    );
    assert.equal(warned.length, wants === "to-warn" ? 1 : 0, log.lines.join("\n"));
  }
});

test("content is refused for what it is: size, header, hops, bare line ends", () => {
  const { facts } = plainContent();
  for (const [content, expected] of [
    [plainContent({ refusal: "too-big" }), "552 5.3.4"],
    [plainContent({ refusal: "header-too-big" }), "552 5.3.4"],
    [plainContent({ refusal: { isFull: false, reason: "EIO" } }), "451 4.3.0"],
    [plainContent({ refusal: { isFull: true, reason: "ENOSPC" } }), "452 4.3.1"],
    [plainContent({ hops: 101 }), "554 5.4.6"],
    [plainContent({ facts: { ...facts, bareEndings: 1 } }), "550 5.5.2"],
  ] as const) {
    const talk = dialogue();
    withRecipient(talk);
    talk.say("DATA");
    const [text] = talk.give({ kind: "content-ended", content });
    assert.equal(text?.slice(0, 9), expected);
    assert.deepEqual(talk.asked, [{ do: "abandon" }]);
    assert.equal(talk.session.phase.at, "ready");
  }
  const talk = dialogue();
  withRecipient(talk);
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent({ hops: 100 }) });
  assert.equal(talk.asked[0]?.do, "commit");
});

test("LMTP greets with LHLO and answers for each accepted recipient", () => {
  const talk = dialogue({ protocol: "lmtp" });
  assert.equal(code(talk.say("EHLO x")), "500");
  talk.say("LHLO x");
  talk.say("MAIL FROM:<a@b.example>");
  assert.equal(code(talk.say("DATA")), "503");
  talk.say("RCPT TO:<one@d.example>");
  talk.give(accepting("one@d.example"));
  talk.say("RCPT TO:<no@d.example>");
  talk.give({ kind: "judged", judgement: { kind: "reject", reply: reply(550, "5.1.1", "no"), because: "" } });
  talk.say("RCPT TO:<two@d.example>");
  talk.give(accepting("two@d.example"));
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  assert.deepEqual(talk.give({ kind: "committed" }), [
    "250 2.0.0 <one@d.example> Ok: queued as MESSAGE1",
    "250 2.0.0 <two@d.example> Ok: queued as MESSAGE1",
  ]);
});

test("LMTP tells each recipient of a refusal too", () => {
  const talk = dialogue({ protocol: "lmtp" });
  withRecipient(talk, undefined, "one@d.example", "two@d.example");
  talk.say("DATA");
  assert.equal(code(talk.give({ kind: "content-ended", content: plainContent({ hops: 1000 }) })), "554 554");
  const failing = dialogue({ protocol: "lmtp" });
  withRecipient(failing, undefined, "one@d.example", "two@d.example");
  failing.say("DATA");
  failing.give({ kind: "content-ended", content: plainContent() });
  assert.equal(code(failing.give({ kind: "not-committed", isFull: false, reason: "x" })), "451 451");
});

test("LMTP answers the last chunk for each accepted recipient, also where it is refused, and ends the transaction", () => {
  const start = (): ReturnType<typeof dialogue> => {
    const talk = dialogue({ protocol: "lmtp", settings: { ...PLAIN_TERMS.settings, messageSize: 50_000 } });
    withRecipient(talk, undefined, "one@d.example", "two@d.example");
    return talk;
  };
  const tooBig = [
    "552 5.3.4 <one@d.example> Message size exceeds fixed limit",
    "552 5.3.4 <two@d.example> Message size exceeds fixed limit",
  ];
  const talk = start();
  talk.say("BDAT 40000");
  talk.give({ kind: "chunk-ended" });
  talk.say("BDAT 40000 LAST");
  assert.deepEqual(talk.give({ kind: "chunk-ended" }), tooBig);
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");

  // Sent ahead of the refusal of the chunk before it.
  const pipelined = start();
  pipelined.say("BDAT 40000");
  pipelined.give({ kind: "chunk-ended" });
  pipelined.say("BDAT 40000");
  assert.equal(code(pipelined.give({ kind: "chunk-ended" })), "552");
  pipelined.say("BDAT 10 LAST");
  assert.equal(code(pipelined.give({ kind: "chunk-ended" })), "503 503");
  assert.equal(code(pipelined.say("MAIL FROM:<a@b.example>")), "250");
});

test("chunks make a message, and nothing but chunks may follow the first", () => {
  const talk = dialogue();
  withRecipient(talk);
  assert.deepEqual(talk.say("BDAT 10"), []);
  assert.equal(talk.asked[0]?.do, "receiveChunk");
  assert.deepEqual(talk.give({ kind: "chunk-ended" }), ["250 2.0.0 10 octets received"]);
  assert.equal(code(talk.say("RCPT TO:<x@y.example>")), "503");
  assert.equal(code(talk.say("DATA")), "503");
  talk.say("BDAT 5 LAST", true);
  talk.give({ kind: "content-ended", content: plainContent() });
  assert.equal(talk.asked[0]?.do, "commit");
});

test("the octets of a refused chunk are swallowed before the refusal is told", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.deepEqual(talk.say("BDAT 10 LAST"), []);
  assert.deepEqual(talk.asked, [{ do: "receiveChunk", opening: undefined, sizeBytes: 10, isLast: true }]);
  assert.equal(code(talk.give({ kind: "chunk-ended" })), "503");
});

test("chunks beyond the size are refused, and after that only RSET helps", () => {
  const talk = dialogue({ settings: { ...PLAIN_TERMS.settings, messageSize: 100_000 } });
  withRecipient(talk);
  talk.say("BDAT 90000");
  talk.give({ kind: "chunk-ended" });
  talk.say("BDAT 20000 LAST");
  assert.match(talk.give({ kind: "chunk-ended" }).join(), /^552 5\.3\.4/);
  assert.deepEqual(talk.asked, [{ do: "abandon" }]);
  talk.say("BDAT 1 LAST");
  assert.equal(code(talk.give({ kind: "chunk-ended" })), "503");
  talk.say("RSET");
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");
});

test("a chunk of a size that nobody would wait for ends the session", () => {
  const talk = dialogue();
  withRecipient(talk);
  assert.equal(code(talk.say("BDAT 999999999999")), "552");
  assert.equal(talk.session.phase.at, "closed");
  const unclear = dialogue();
  withRecipient(unclear);
  assert.equal(code(unclear.say("BDAT many")), "501");
  assert.equal(unclear.session.phase.at, "closed");
});

test("BINARYMIME comes in chunks only, and keeps its bare line ends", () => {
  const talk = dialogue();
  withRecipient(talk, "MAIL FROM:<a@b.example> BODY=BINARYMIME");
  assert.equal(code(talk.say("DATA")), "503");
  talk.say("BDAT 20 LAST");
  const facts = { ...plainContent().facts, bareEndings: 9 };
  talk.give({ kind: "content-ended", content: plainContent({ facts }) });
  const [commit] = talk.asked;
  assert.ok(commit?.do === "commit");
  assert.equal(commit.message.content, "binary");
});

test("after STARTTLS everything said before is forgotten", () => {
  const talk = dialogue({ auth: "offer", mayAuthenticateInPlain: true });
  talk.say("EHLO before.example");
  assert.equal(code(talk.say("STARTTLS")), "220");
  assert.deepEqual(talk.asked, [{ do: "startTls" }]);
  const tls = tlsFacts();
  talk.give({ kind: "tls-started", tls });
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "503");
  assert.doesNotMatch(talk.say("EHLO after.example").join(), /STARTTLS/);
  assert.equal(code(talk.say("STARTTLS")), "503");
});

test("a listener that requires TLS takes no mail, no address question and no password without", () => {
  const talk = dialogue({ tls: "require", vrfy: "answer", auth: "offer" });
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^530 5\.7\.0/);
  assert.match(talk.say("VRFY a@b.example").join(), /^530/);
  assert.match(talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=").join(), /^538 5\.7\.11/);
});

test("AUTH is offered where passwords are safe, and mail waits for it where it is required", () => {
  const open = dialogue({ auth: "require" });
  assert.doesNotMatch(open.say("EHLO x").join(), /AUTH/);
  const safe = dialogue({ auth: "require" }, { tls: tlsFacts() });
  assert.match(safe.say("EHLO x").join(), /AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN/);
  assert.match(safe.say("MAIL FROM:<a@b.example>").join(), /^530 5\.7\.0/);
  assert.deepEqual(safe.say("AUTH PLAIN AGFubgBzZWNyZXQ="), []);
  assert.deepEqual(safe.asked, [CHECK_ANN]);
  assert.match(safe.give({ kind: "checked", answer: { kind: "right", account: "ann" } }).join(), /^235/);
  assert.equal(code(safe.say("MAIL FROM:<a@b.example>")), "250");
  safe.say("RSET");
  assert.equal(code(safe.say("AUTH PLAIN AGFubgBzZWNyZXQ=")), "503");
  assert.doesNotMatch(safe.say("EHLO x").join(), /AUTH/);
});

test("AUTH LOGIN asks twice; * ends an exchange; nonsense is refused", () => {
  const talk = dialogue({ auth: "offer", mayAuthenticateInPlain: true });
  talk.say("EHLO x");
  assert.deepEqual(talk.say("AUTH LOGIN"), ["334 VXNlcm5hbWU6"]);
  const respond = (line: string) => talk.give({ kind: "response", line, bytesBehind: 0 });
  assert.deepEqual(respond("YW5u"), ["334 UGFzc3dvcmQ6"]);
  respond("c2VjcmV0");
  assert.deepEqual(talk.asked, [CHECK_ANN]);
  assert.match(talk.give({ kind: "checked", answer: { kind: "wrong" } }).join(), /^535 5\.7\.8/);
  talk.say("AUTH LOGIN");
  assert.match(respond("*").join(), /^501/);
  talk.say("AUTH PLAIN");
  assert.match(respond("???").join(), /^501 5\.5\.2/);
  assert.match(talk.say("AUTH CRAM-MD5").join(), /^504/);
});

test("wrong passwords are counted, a backend's failure is not", () => {
  const log = eventLog();
  const talk = dialogue({ auth: "offer", mayAuthenticateInPlain: true }, { emit: log.emit });
  talk.say("EHLO x");
  for (let at = 0; at < 5; at++) {
    talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
    const verdict = { kind: "failed", text: "away" } as const;
    assert.match(talk.give({ kind: "checked", answer: verdict }).join(), /^454 4\.7\.0/);
  }
  for (let at = 1; at <= 3; at++) {
    talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
    const said = talk.give({ kind: "checked", answer: { kind: "wrong" } });
    assert.equal(code(said), at === 3 ? "535 421" : "535");
  }
  assert.match(log.lines.at(-1) ?? "", /^warning: client\.example\[192\.0\.2\.9\]: SASL PLAIN authentication failed/);
});

test("VRFY and EXPN tell what the listener's policy lets them", () => {
  const ask = (terms: Parameters<typeof dialogue>[0], line: string): Dialogue => {
    const talk = dialogue(terms);
    talk.say("EHLO x");
    talk.say(line);
    return talk;
  };
  assert.equal(code(dialogue().say("VRFY a@b.example")), "252");
  assert.equal(code(dialogue({ vrfy: "refuse" }).say("VRFY a@b.example")), "502");
  assert.equal(code(dialogue().say("EXPN list")), "502");
  const verified = ask({ vrfy: "answer" }, "VRFY <a@b.example>");
  assert.deepEqual(verified.give(accepting("a@b.example")), ["250 2.1.5 <a@b.example>"]);
  const passing = ask({ vrfy: "answer" }, "VRFY <a@far.example>");
  const targets = [{ recipient: "a@far.example", action: "relay" }];
  const judgement = { kind: "accept", rule: "r", targets, isUnverified: true } as const;
  assert.match(passing.give({ kind: "judged", judgement }).join(), /^252 2\.0\.0/);
  const expanded = ask({ expn: "answer" }, "EXPN list@b.example");
  assert.deepEqual(expanded.give(accepting("a@b.example", "c@d.example")), ["250 2.1.5 <a@b.example> <c@d.example>"]);
  const named = ask({ vrfy: "answer" }, "VRFY Smith");
  assert.deepEqual(
    named.asked.map((one) => one.do === "judge" && one.recipient),
    ["Smith"],
  );
  assert.deepEqual(named.give(accepting("Smith@here.example")), ["250 2.1.5 <Smith@here.example>"]);
  assert.equal(code(dialogue({ vrfy: "answer" }).say("VRFY <a@b")), "501");
  assert.equal(code(dialogue({ vrfy: "answer" }).say("VRFY <>")), "501");
});

test("VRFY within a transaction leaves the transaction as it was", () => {
  const talk = dialogue({ vrfy: "answer" });
  withRecipient(talk);
  talk.say("VRFY z@b.example");
  talk.give(accepting("z@b.example"));
  assert.equal(code(talk.say("DATA")), "354");
});

test("ETRN is refused, and a browser is shown the door", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  assert.equal(code(talk.say("ETRN example.org")), "502");
  assert.equal(code(talk.say("POST / HTTP/1.1")), "554");
  assert.equal(talk.session.phase.at, "closed");
});

test("XFORWARD is told in the log as the original client", () => {
  const log = eventLog();
  const talk = dialogue({ mayXforward: () => true }, { emit: log.emit });
  talk.say("EHLO x");
  assert.equal(code(talk.say("XFORWARD NAME=orig.example ADDR=198.51.100.7")), "250");
  withRecipient(talk);
  assert.match(log.lines.at(-1) ?? "", /orig_client=orig\.example\[198\.51\.100\.7\]$/);
});

test("FUTURERELEASE holds a submitted message, within what was announced; relays do not offer it", () => {
  const relay = dialogue();
  relay.say("EHLO x");
  assert.equal(code(relay.say("MAIL FROM:<a@b.example> HOLDFOR=60")), "555");
  const talk = dialogue({ protocol: "submission" });
  assert.match(talk.say("EHLO x").join(), /FUTURERELEASE 604800 2027-01-22T08:00:00Z/);
  assert.equal(code(talk.say("MAIL FROM:<a@b.example> HOLDFOR=604801")), "501");
  withRecipient(talk, "MAIL FROM:<a@b.example> HOLDFOR=60");
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  const [commit] = talk.asked;
  assert.ok(commit?.do === "commit");
  assert.equal(commit.envelopes[0]?.notBeforeAt, talk.world.nowAt + 60_000);
});

test("malformed commands are told what was expected, with the code of their kind", () => {
  const talk = dialogue();
  talk.say("EHLO x");
  for (const [line, expected] of [
    ["MAIL FROM:a@b", "501 5.1.7"],
    ["MAIL FROM:<a@b.example> WHAT=1", "555 5.5.4"],
    ["MAIL FROM:<a@b.example> SIZE=x", "501 5.5.4"],
    ["EHLO", "501 5.5.4"],
    ["NOO\u0000P", "500 5.5.2"],
  ] as const)
    assert.equal(talk.say(line).join().slice(0, 9), expected);
  talk.say("MAIL FROM:<a@b.example>");
  assert.match(talk.say("RCPT TO:<a@>").join(), /^501 5\.1\.3/);
});

test("a server that stops ends idle sessions at once, and others behind their transaction", () => {
  const idle = dialogue();
  idle.say("EHLO x");
  assert.match(idle.give({ kind: "stop" }).join(), /^421 4\.3\.2/);
  const busy = dialogue();
  withRecipient(busy);
  assert.deepEqual(busy.give({ kind: "stop" }), []);
  assert.equal(code(busy.say("DATA")), "354");
  busy.give({ kind: "content-ended", content: plainContent() });
  assert.equal(code(busy.give({ kind: "committed" })), "250 421");
  assert.equal(busy.session.phase.at, "closed");
});

test("the trace field says how the message came", () => {
  const talk = dialogue({ protocol: "submission", auth: "offer" }, { tls: tlsFacts() });
  talk.say("EHLO me.example");
  talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  talk.give({ kind: "checked", answer: { kind: "right", account: "ann" } });
  withRecipient(talk);
  talk.say("DATA");
  const [receive] = talk.asked;
  assert.ok(receive?.do === "receiveData");
  const trace = receive.opening.trace.replace(/\r\n\s+/g, " ");
  assert.match(trace, /^Received: from client\.example \(client\.example \[192\.0\.2\.9\]\) by mx\.test/);
  assert.match(trace, /with ESMTPSA id MESSAGE1 .*version=TLSv1\.3.* for <c@d\.example>; /);
});

test("a message for several does not name them to each other", () => {
  const talk = dialogue();
  withRecipient(talk, undefined, "a@x.example", "b@x.example");
  talk.say("DATA");
  const [receive] = talk.asked;
  assert.ok(receive?.do === "receiveData");
  assert.doesNotMatch(receive.opening.trace, /x\.example/);
});

const CHECK_ANN = {
  do: "check",
  question: { kind: "password", user: "ann", password: "secret" },
  from: { address: "192.0.2.9" },
};

const someInput: fc.Arbitrary<Input | string> = fc.oneof(
  fc.constantFrom(
    ..."EHLO x|HELO x|LHLO x|MAIL FROM:<a@b.c>|MAIL FROM:<> BODY=BINARYMIME|RCPT TO:<c@d.e>|RCPT TO:<postmaster>|DATA|BDAT 5|BDAT 5 LAST|BDAT 0 LAST|RSET|NOOP|QUIT|VRFY a@b.c|EXPN a@b.c|STARTTLS|AUTH PLAIN|AUTH LOGIN YW5u|AUTH PLAIN AGFubgBzZWNyZXQ=|XCLIENT ADDR=192.0.2.1|HELP|WHAT|BDAT x".split(
      "|",
    ),
  ),
  fc.constantFrom<Input>(
    accepting("c@d.e"),
    { kind: "judged", judgement: { kind: "reject", reply: reply(550, "5.1.1", "no"), because: "" } },
    { kind: "response", line: "AGFubgBzZWNyZXQ=", bytesBehind: 0 },
    { kind: "checked", answer: { kind: "wrong" } },
    { kind: "checked", answer: { kind: "right", account: "ann" } },
    { kind: "content-ended", content: plainContent() },
    { kind: "content-ended", content: plainContent({ hops: 1000 }) },
    { kind: "chunk-ended" },
    { kind: "committed" },
    { kind: "not-committed", isFull: false, reason: "x" },
    { kind: "tls-started", tls: tlsFacts() },
    { kind: "tls-failed", finding: tlsFinding() },
    { kind: "line-too-long" },
    { kind: "bare-line-end" },
    { kind: "stop" },
    { kind: "lost", reason: "x" },
    { kind: "timeout", reason: "x" },
  ),
);

test("no order of inputs breaks the machine, and 250 for content comes from a commit only", () => {
  fc.assert(
    fc.property(
      fc.array(someInput, { maxLength: 40 }),
      fc.constantFrom("smtp", "submission", "lmtp"),
      (inputs, protocol) => {
        const talk = dialogue({
          protocol,
          auth: "offer",
          mayAuthenticateInPlain: true,
          vrfy: "answer",
          mayXclient: () => true,
        });
        for (const input of inputs) {
          const before = talk.session.phase.at;
          const said = typeof input === "string" ? talk.say(input) : talk.give(input);
          const isCommitted = before === "committing" && typeof input !== "string" && input.kind === "committed";
          assert.equal(
            said.some((text) => /queued as/.test(text)),
            isCommitted,
          );
          if (before === "closed") assert.deepEqual(said, []);
          // A client that has been answered nothing is waited for nowhere but in an open question, or in content.
          if (said.length === 0 && typeof input === "string")
            assert.match(
              `${before} ${talk.session.phase.at}`,
              /judging|asking|checking|chunk|closed|data|committing|handshake|authenticating/,
            );
        }
      },
    ),
  );
});
