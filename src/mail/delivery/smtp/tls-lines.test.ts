import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTold } from "../../../service/tls/told.ts";
import { tlsFacts, tlsFinding, peerCertificate } from "../../../testing/tls-facts.ts";
import type { ConnectRequest, SessionFacts } from "../delivery.ts";
import * as events from "./events.ts";
import { closedFields, establishedFields, failedFields, subjectOf, unencryptedFields } from "./tls-lines.ts";

const request: ConnectRequest = {
  session: "s1",
  protocol: "smtp",
  tls: "may",
  verify: false,
  host: { name: "mx.example", address: { ip: "192.0.2.1", port: 25 } },
  helo: "me.test",
  relay: "example",
} as ConnectRequest;
const HOST = "mx.example[192.0.2.1]:25";
const about = subjectOf(request, HOST, "relay example: may", false);
const facts = tlsFacts({
  role: "client",
  peerCertificate: peerCertificate(),
  verdict: { result: "FAIL", problem: { kind: "self-signed", text: "it is signed by itself" } },
});

test("a session's line is Postfix's, and complains of a certificate only where it has to be right", () => {
  const usual = events.tlsEstablished.line(establishedFields(about, facts, undefined)) ?? "";
  assert.match(usual, /^Untrusted TLS connection established to mx\.example\[192\.0\.2\.1\]:25: TLSv1\.3 with cipher /);
  assert.doesNotMatch(usual, /signed by itself/);
  const strict = establishedFields({ ...about, mustVerify: true }, facts, undefined);
  assert.match(events.tlsEstablished.line(strict) ?? "", /verify=FAIL, it is signed by itself/);
  const told = parseTold(strict.details);
  assert.deepEqual(told?.told === "up" && [told.peer, told.rule], [
    { direction: "out", name: HOST, address: "192.0.2.1", place: "example" },
    "relay example: may",
  ]);
});

test("a failed handshake is told by its sentence and cure", () => {
  const fields = failedFields(about, tlsFinding({ role: "client" }), false);
  assert.match(events.tlsFailed.line(fields) ?? "", /^SSL_connect error to mx\.example.*\(stalled\); usual cure: /);
});

test("the end of a connection means what the dialogue's state makes of it", () => {
  for (const [during, moment] of [
    ["QUIT", "over"],
    ["idle", "between"],
    ["content", "content"],
    ["BDAT", "content"],
    ["MAIL", "answer"],
    ["end of DATA", "answer"],
  ] as const) {
    const fields = closedFields(about, { peer: "truncated", we: "cut" }, during);
    assert.equal(fields.moment, moment, during);
    assert.equal(fields.isLoss, moment === "content", during);
    assert.match(events.tlsClosed.line(fields) ?? "", /^TLS connection to mx\.example.* closed unclean: /);
  }
});

test("mail without encryption is told with the rule and a reason that stays the same; nothing where nobody can listen", () => {
  const session: SessionFacts = {
    host: HOST,
    extensions: ["SIZE"],
    tlsRule: { level: "may", rule: "relay example: may" },
  };
  const ruleOf = (changes: Partial<SessionFacts>): string | undefined =>
    unencryptedFields(request, { ...session, ...changes }, 1)?.rule;
  assert.equal(ruleOf({}), "relay example: may; STARTTLS is not offered");
  assert.equal(ruleOf({ extensions: ["STARTTLS"] }), "relay example: may; STARTTLS is offered, and not used");
  const twice = [62, 75].map((ms) => ruleOf({ plaintextBecause: `it closed ${ms} ms into the handshake` }));
  assert.deepEqual(new Set(twice), new Set(["relay example: may; TLS does not work there"]));
  assert.equal(ruleOf({ tlsRule: undefined }), undefined, "a unix socket");
  const tls = { version: "TLSv1.3", cipher: "x", verdict: { result: "NONE" } } as const;
  assert.equal(ruleOf({ tls }), undefined);
  assert.equal(unencryptedFields(request, session, 0), undefined);
});
