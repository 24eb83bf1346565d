import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CertificateIdentity } from "../../service/account/client-certificate.ts";
import type { TlsFacts, Verdict } from "../../service/tls/facts.ts";
import { accepting, dialogue, type Dialogue } from "../../testing/dialogue.ts";
import { eventLog } from "../../testing/reception.ts";
import { peerCertificate, tlsFacts } from "../../testing/tls-facts.ts";
import type { Terms } from "./state.ts";

const OK: Verdict = { result: "OK", by: "authorities" };
const withCertificate = (verdict: Verdict = OK): TlsFacts =>
  tlsFacts({ verdict, peerCertificate: peerCertificate({ emails: ["ann@example.org"], names: ["relay.example"] }) });
const ANN: CertificateIdentity = { kind: "known", accounts: ["ann", "info@example.org"], mayRelay: false };

/** A session that identifies by certificates, past EHLO, with what the lookup gave. */
function greeted(identity: CertificateIdentity, terms: Partial<Terms> = {}, log = eventLog()): Dialogue {
  const talk = dialogue(
    { auth: "offer", identifyBy: { account: "none" }, ...terms },
    { tls: withCertificate(), emit: log.emit },
  );
  assert.deepEqual(
    talk.asked.map((action) => action.do),
    ["identify"],
  );
  assert.match(talk.give({ kind: "identified", identity }).join(), /^220 /);
  talk.say("EHLO client.example");
  return talk;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

test("EXTERNAL is offered to a client whose certificate makes it somebody, and to no other", () => {
  assert.match(greeted(ANN).say("EHLO x").join("\n"), /AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN EXTERNAL/);
  for (const identity of [{ kind: "unknown" }, { kind: "known", accounts: [], mayRelay: true }] as const) {
    const talk = greeted(identity);
    assert.doesNotMatch(talk.say("EHLO x").join("\n"), /EXTERNAL/);
    assert.match(talk.say("AUTH EXTERNAL =").join(), /^504 /);
  }
  const anonymous = dialogue({ auth: "offer", identifyBy: { account: "email" } }, { tls: tlsFacts() });
  assert.doesNotMatch(anonymous.say("EHLO x").join("\n"), /EXTERNAL/);
  const plain = dialogue({ auth: "offer", mayAuthenticateInPlain: true });
  plain.say("EHLO x");
  assert.match(plain.say("AUTH EXTERNAL =").join(), /^504 /);
  assert.doesNotMatch(greeted(ANN, { auth: "off" }).say("EHLO x").join("\n"), /AUTH/);
});

test("EXTERNAL logs in whom the certificate names; without a wish that is the first", () => {
  const talk = greeted(ANN);
  assert.deepEqual(talk.say("AUTH EXTERNAL ="), ["235 2.7.0 Authentication successful"]);
  assert.equal(talk.session.facts.account, "ann");
  assert.equal(talk.session.facts.mechanism, "EXTERNAL");
  assert.match(talk.say("AUTH EXTERNAL =").join(), /^503 /);
  const asked = greeted(ANN);
  assert.deepEqual(asked.say("AUTH EXTERNAL"), ["334"]);
  asked.give({ kind: "response", line: base64("Info@Example.org"), bytesBehind: 0 });
  assert.equal(asked.session.facts.account, "info@example.org");
});

test("EXTERNAL as somebody else is refused, counted as a wrong password, and told in the log", () => {
  const log = eventLog();
  const talk = greeted(ANN, {}, log);
  for (let at = 1; at <= 3; at++) {
    const said = talk.say(`AUTH EXTERNAL ${base64("root")}`).map((text) => text.slice(0, 3));
    assert.deepEqual(said, at === 3 ? ["535", "421"] : ["535"]);
  }
  assert.equal(talk.session.facts.account, undefined);
  assert.match(log.lines.at(-1) ?? "", /SASL EXTERNAL authentication failed: .*sasl_username=root$/);
});

test("what could not be found out is a temporary failure, for EXTERNAL and where a login is required", () => {
  const talk = greeted({ kind: "failed", text: "the table is away" }, { auth: "require" });
  assert.match(talk.say("EHLO x").join("\n"), /EXTERNAL/);
  assert.match(talk.say("AUTH EXTERNAL =").join(), /^454 4\.7\.0/);
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^451 4\.3\.0/);
});

test("a certificate that is listed to relay stands for a login; one with an account has to log in", () => {
  const listed = greeted({ kind: "known", accounts: [], mayRelay: true }, { auth: "require" });
  assert.match(listed.say("MAIL FROM:<a@b.example>").join(), /^250/);
  assert.equal(listed.session.facts.account, undefined);
  const ann = greeted(ANN, { auth: "require" });
  assert.match(ann.say("MAIL FROM:<a@b.example>").join(), /^530/);
  ann.say("AUTH EXTERNAL =");
  assert.match(ann.say("MAIL FROM:<a@b.example>").join(), /^250/);
});

test("where a client certificate is required nothing but the dialogue goes without one, in words that help", () => {
  const expired = { kind: "expired", text: "the certificate expired on 2025-01-01" } as const;
  const bad = withCertificate({ result: "FAIL", by: "authorities", problem: expired });
  const tried = (clientCertificate: Terms["clientCertificate"], tls: TlsFacts | undefined): readonly string[] => {
    const talk = dialogue(
      { clientCertificate, auth: "offer", vrfy: "answer", tls: "offer" },
      tls === undefined ? {} : { tls },
    );
    talk.say("EHLO x");
    return ["MAIL FROM:<a@b.example>", "VRFY a@b.example", "AUTH PLAIN AGFubgBzZWNyZXQ="].flatMap((line) =>
      talk.say(line),
    );
  };
  for (const mode of ["require", "verify"] as const) {
    assert.deepEqual(
      tried(mode, tlsFacts()).map((text) => text.slice(0, 37)),
      Array(3).fill("530 5.7.0 A client certificate is req"),
    );
    assert.deepEqual(
      tried(mode, undefined).map((text) => text.slice(0, 10)),
      ["530 5.7.0 ", "530 5.7.0 ", "538 5.7.11"],
    );
    assert.match(tried(mode, withCertificate())[0] ?? "", /^250/);
  }
  assert.match(
    tried("verify", bad)[0] ?? "",
    /^530 5\.7\.0 Your client certificate is not accepted: the certificate expired on/,
  );
  assert.match(tried("require", bad)[0] ?? "", /^250/);
  assert.match(tried("ask", bad)[0] ?? "", /^250/);
  assert.match(tried("ask", undefined)[0] ?? "", /^250/);
});

test("rules see the certificate: its names only when it was verified, and nothing after XCLIENT", () => {
  const asked = (talk: Dialogue) => {
    talk.say("EHLO x");
    talk.say("MAIL FROM:<a@b.example>");
    talk.say("RCPT TO:<c@d.example>");
    const [judge] = talk.asked;
    assert.ok(judge?.do === "judge");
    return judge.facts.certificate;
  };
  const { fingerprint, keyFingerprint } = peerCertificate();
  assert.deepEqual(asked(greeted({ kind: "known", accounts: [], mayRelay: true })), {
    fingerprints: [fingerprint, keyFingerprint],
    isVerified: true,
    subject: "CN=ann,O=Example",
    names: ["relay.example", "ann@example.org", "ann"],
    mayRelay: true,
  });
  const long = (wholeSubject: string) => {
    const tls = withCertificate({ result: "OK", by: "authorities" });
    assert.ok(tls.peerCertificate !== undefined);
    const talk = dialogue({}, { tls: { ...tls, peerCertificate: { ...tls.peerCertificate, wholeSubject } } });
    return asked(talk)?.subject;
  };
  // Its beginning, which the log shows, may be another's too.
  assert.equal(long("O=Example,CN=ann"), "O=Example,CN=ann");
  assert.equal(long(""), undefined);
  const problem = { kind: "self-signed", text: "by itself" } as const;
  const unverified = dialogue({}, { tls: withCertificate({ result: "FAIL", by: "authorities", problem }) });
  assert.deepEqual(asked(unverified), {
    fingerprints: [fingerprint, keyFingerprint],
    isVerified: false,
    subject: undefined,
    names: [],
    mayRelay: false,
  });
  const proxy = greeted(ANN, { mayXclient: () => true });
  proxy.say("XCLIENT ADDR=198.51.100.7");
  assert.equal(asked(proxy), undefined);
  proxy.give(accepting("c@d.example"));
  proxy.say("RSET");
  assert.match(proxy.say("AUTH EXTERNAL =").join(), /^504/);
});

test("STARTTLS forgets greeting, login, transaction and XFORWARD", () => {
  const peer = { address: "192.0.2.9", port: 4242, name: "client.example" };
  const talk = dialogue({ mayXforward: () => true, auth: "require", mayAuthenticateInPlain: true }, { peer });
  talk.say("EHLO x");
  talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  talk.give({ kind: "checked", answer: { kind: "right", account: "ann" } });
  talk.say("XFORWARD NAME=other.example");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^250/);
  talk.say("RCPT TO:<c@d.example>");
  talk.give(accepting("c@d.example"));
  talk.say("BDAT 5");
  talk.give({ kind: "chunk-ended" });
  assert.match(talk.say("STARTTLS").join(), /^220/);
  assert.deepEqual(
    talk.asked.map((action) => action.do),
    ["abandon", "startTls"],
  );
  const tls = tlsFacts();
  talk.give({ kind: "tls-started", tls });
  assert.deepEqual(talk.session.facts, { peer, greeting: "none", tls });
  assert.match(talk.say("RCPT TO:<c@d.example>").join(), /^503/);
  talk.say("EHLO x");
  assert.match(talk.say("MAIL FROM:<a@b.example>").join(), /^530/);
  assert.match(talk.say("STARTTLS").join(), /^503/);
});

test("what filters said at connect holds behind STARTTLS, and what they said of the first EHLO does not", () => {
  const filters = { wants: () => true, wantsNotes: false, isRestricted: false };
  const talk = dialogue({}, { filters });
  const tagged = (...tags: string[]) =>
    talk.give({ kind: "filtered", outcome: { kind: "proceed", tags, told: [] } } as const);
  tagged("office");
  talk.say("EHLO x");
  tagged("odd-name");
  assert.deepEqual(talk.session.facts.tags, ["office", "odd-name"]);
  talk.say("STARTTLS");
  talk.give({ kind: "tls-started", tls: tlsFacts() });
  assert.deepEqual(talk.asked, []);
  assert.deepEqual(talk.session.facts.tags, ["office"]);
});

test("plaintext behind STARTTLS, or before our reply to it, is an injection: named with its bytes, and the end", () => {
  for (const [cause, when] of [
    [(talk: Dialogue) => talk.say("STARTTLS", true), "behind STARTTLS"],
    [
      (talk: Dialogue) => {
        talk.say("STARTTLS");
        return talk.give({ kind: "injected", bytes: 7 });
      },
      "between STARTTLS and our reply",
    ],
  ] as const) {
    const log = eventLog();
    const talk = dialogue({}, { emit: log.emit });
    talk.say("EHLO x");
    assert.match(cause(talk).join(), /^554 5\.5\.0/);
    assert.equal(talk.session.phase.at, "closed");
    assert.ok(
      log.lines.includes(
        `warning: injection from client.example[192.0.2.9]: 7 bytes of plaintext ${when}, before TLS; refused`,
      ),
      log.lines.join("\n"),
    );
  }
});

test("property: Received says verify=OK of a verified certificate only, whatever else is in the session", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom("OK", "verify=OK", "x (verify=OK)", "TLSv1.3 verify=OK", "a) (verify=OK"),
  );
  const verdict: fc.Arbitrary<Verdict> = fc.record(
    {
      result: fc.constantFrom("OK", "FAIL", "NONE"),
      by: fc.constantFrom("authorities", "fingerprint", undefined),
      problem: fc.constantFrom({ kind: "self-signed", text: "verify=OK" } as const, undefined),
    },
    { requiredKeys: ["result"] },
  );
  const facts: fc.Arbitrary<TlsFacts> = fc
    .tuple(text, text, text, verdict, fc.boolean(), fc.boolean())
    .map(([version, cipher, group, given, isShown, isResumed]) =>
      tlsFacts({
        version,
        cipher,
        group,
        isResumed,
        verdict: given,
        peerCertificate: isShown ? peerCertificate() : undefined,
      }),
    );
  fc.assert(
    fc.property(facts, text, text, fc.option(text, { nil: undefined }), (tls, helo, recipient, name) => {
      const talk = dialogue({}, { tls, peer: { address: "192.0.2.9", name } });
      talk.say(`EHLO ${helo}`);
      if (talk.session.facts.greeting === "none") talk.say("EHLO client.example");
      talk.say("MAIL FROM:<a@b.example>");
      talk.say(`RCPT TO:<"${recipient}"@d.example>`);
      if (talk.asked[0]?.do !== "judge") talk.say("RCPT TO:<c@d.example>");
      talk.give(accepting("c@d.example"));
      talk.say("DATA");
      const [receive] = talk.asked;
      assert.ok(receive?.do === "receiveData");
      const { trace } = receive.opening;
      const isVerified = tls.peerCertificate !== undefined && tls.verdict.result === "OK";
      const expected = tls.peerCertificate === undefined ? "NONE" : isVerified ? "OK" : "FAIL";
      // A quoted local part of the one recipient may hold anything but a comment; it stands in angle brackets.
      const comments = trace.replace(/ *for <.*>;/, "").match(/\([^)]*\)/g) ?? [];
      assert.deepEqual(comments.join(" ").match(/verify=\w+/g), [`verify=${expected}`], trace);
    }),
  );
});
