import assert from "node:assert/strict";
import { test } from "node:test";
import type { Emit } from "../../foundation/events.ts";
import { parseTold, type TlsTold } from "../../service/tls/told.ts";
import { dialogue, PLAIN_TERMS } from "../../testing/dialogue.ts";
import { peerCertificate, tlsFacts, tlsFinding } from "../../testing/tls-facts.ts";
import { standOf, tellClosed, tellTrouble } from "./tls-lines.ts";

interface Heard {
  readonly emit: Emit;
  readonly lines: Map<string, string | undefined>;
  readonly told: Map<string, TlsTold | undefined>;
}

function heard(): Heard {
  const lines = new Map<string, string | undefined>();
  const told = new Map<string, TlsTold | undefined>();
  const emit: Emit = (event, fields) => {
    lines.set(event.name, event.line(fields));
    told.set(event.name, parseTold((fields as { details?: string }).details));
  };
  return { emit, lines, told };
}

const peer = { address: "192.0.2.9", port: 4242, name: "client.example" };

test("a session under TLS tells its line, and its facts to the journal", () => {
  const { emit, lines, told } = heard();
  const talk = dialogue({}, { emit });
  talk.say("EHLO c.test");
  talk.say("STARTTLS");
  talk.give({ kind: "tls-started", tls: tlsFacts({ group: "X25519" }) });
  assert.match(
    lines.get("session.tls") ?? "",
    /^Anonymous TLS connection established from client\.example\[192\.0\.2\.9\]: TLSv1\.3 /,
  );
  const up = told.get("session.tls");
  assert.deepEqual(up?.told === "up" && [up.peer, up.facts.group], [
    { direction: "in", name: "client.example[192.0.2.9]", address: "192.0.2.9", place: "test" },
    "X25519",
  ]);
});

test("a certificate that nobody required to verify is not complained about", () => {
  const problem = { kind: "self-signed", text: "it is signed by itself" } as const;
  const tls = tlsFacts({ peerCertificate: peerCertificate(), verdict: { result: "FAIL", problem } });
  for (const [clientCertificate, isTold] of [
    ["ask", false],
    ["verify", true],
  ] as const) {
    const { emit, lines } = heard();
    const talk = dialogue({ clientCertificate }, { emit });
    talk.say("EHLO c.test");
    talk.say("STARTTLS");
    talk.give({ kind: "tls-started", tls });
    assert.equal(/signed by itself/.test(lines.get("session.tls") ?? ""), isTold);
  }
});

test("a client that gets no service for want of a certificate is told among the failures, with its software", () => {
  const tls = tlsFacts({ clientFingerprint: "t13d0000" });
  for (const [clientCertificate, reason] of [
    ["ask", undefined],
    ["require", "client-certificate-missing"],
    ["verify", "client-certificate-missing"],
  ] as const) {
    const { emit, lines, told } = heard();
    const talk = dialogue({ clientCertificate }, { emit });
    talk.say("EHLO c.test");
    talk.say("STARTTLS");
    talk.give({ kind: "tls-started", tls });
    const failed = told.get("session.tls-trouble");
    assert.equal(failed?.told === "failed" ? failed.finding.reason : undefined, reason);
    if (reason === undefined) continue;
    assert.match(lines.get("session.tls-trouble") ?? "", /requires a client certificate, and the client sent none/);
    assert.deepEqual(failed?.told === "failed" && [failed.wasUp, failed.finding.ja4], [true, "t13d0000"]);
  }
});

test("a failed handshake, and TLS on a plaintext port, are told with their sentence and cure", () => {
  for (const [input, name] of [
    [{ kind: "tls-failed", finding: tlsFinding() }, "session.tls-failed"],
    [{ kind: "tls-hello", finding: tlsFinding() }, "session.tls-on-plaintext-port"],
  ] as const) {
    const { emit, lines, told } = heard();
    dialogue({}, { emit }).give(input);
    assert.match(lines.get(name) ?? "", /fell silent.*\(stalled\); usual cure: Look at the network/);
    const failed = told.get(name);
    assert.deepEqual(failed?.told === "failed" && [failed.wasUp, failed.finding.reason], [false, "stalled"]);
  }
});

test("where the dialogue stands decides what an end means: nothing under way, an answer owed, content, over", () => {
  const talk = dialogue();
  assert.equal(standOf(talk.session).moment, "between");
  talk.say("EHLO c.test");
  talk.say("MAIL FROM:<a@b.test>");
  assert.deepEqual(standOf(talk.session), { moment: "between", after: "MAIL" });
  talk.say("RCPT TO:<c@d.test>");
  assert.equal(standOf(talk.session).moment, "answer");
  assert.equal(standOf({ phase: { at: "closed" }, after: "QUIT" }).moment, "over");
});

test("an end inside DATA is told as a loss, and one after QUIT as a note", () => {
  const { emit, lines, told } = heard();
  const say = (moment: "content" | "over", after: string): void => {
    const action = tellClosed(PLAIN_TERMS, peer, { peer: "truncated", we: "cut" }, { moment, after });
    if (action.do === "tell") action.tell(emit);
  };
  say("over", "QUIT");
  assert.match(lines.get("session.tls-closed") ?? "", /closed unclean: .*FIN.*after QUIT: nothing is lost$/);
  say("content", "DATA");
  assert.match(lines.get("session.tls-closed") ?? "", /closed unclean: .*inside DATA: .*incomplete and void$/);
  const ended = told.get("session.tls-closed");
  assert.equal(ended?.told === "ended" && ended.moment, "content");
});

test("trouble after the handshake is told as such", () => {
  const { emit, lines, told } = heard();
  const action = tellTrouble(
    PLAIN_TERMS,
    peer,
    tlsFinding({ reason: "bad-record", sentence: "A record was damaged." }),
  );
  if (action.do === "tell") action.tell(emit);
  assert.match(lines.get("session.tls-trouble") ?? "", /^TLS error from .*damaged \(bad-record\)/);
  const failed = told.get("session.tls-trouble");
  assert.equal(failed?.told === "failed" && failed.wasUp, true);
});
