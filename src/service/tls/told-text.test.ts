import assert from "node:assert/strict";
import { test } from "node:test";
import { peerCertificate, tlsFacts } from "../../testing/tls-facts.ts";
import type { Closing } from "./facts.ts";
import { closingText, endOf, establishedText, findingText, isLoss, tlsFieldsOf, trustOf } from "./told-text.ts";

test("trust is told in Postfix's words", () => {
  const shown = peerCertificate();
  const client = { role: "client", peerCertificate: shown } as const;
  const wrongName = { kind: "wrong-name", text: "for another host" } as const;
  const unknown = { kind: "unknown-authority", text: "nobody knows who signed it" } as const;
  for (const [facts, word] of [
    [tlsFacts(), "Anonymous"],
    [tlsFacts({ peerCertificate: shown, verdict: { result: "NONE" } }), "Untrusted"],
    [tlsFacts({ peerCertificate: shown, verdict: { result: "FAIL", problem: unknown } }), "Untrusted"],
    [tlsFacts({ peerCertificate: shown, verdict: { result: "OK", by: "authorities" } }), "Trusted"],
    [tlsFacts({ peerCertificate: shown, verdict: { result: "OK", by: "fingerprint" } }), "Verified"],
    [tlsFacts({ ...client, verdict: { result: "OK", by: "authorities" } }), "Verified"],
    [tlsFacts({ ...client, verdict: { result: "FAIL", problem: wrongName } }), "Trusted"],
    [tlsFacts({ ...client, verdict: { result: "FAIL", problem: unknown } }), "Untrusted"],
    [tlsFacts({ ...client, verdict: { result: "DANE" } }), "Verified"],
  ] as const)
    assert.equal(trustOf(facts), word);
});

test("the line begins as Postfix's and ends with what Postfix does not know", () => {
  const facts = tlsFacts({
    group: "X25519MLKEM768",
    signature: "ecdsa_secp256r1_sha256",
    serverName: "mx.example",
    isResumed: true,
    clientFingerprint: "t13d521100_b262b3658495_8e6e362c5eac",
    handshakeMs: 7.4,
  });
  assert.equal(
    establishedText(tlsFieldsOf(facts, false), "from", "client.example[192.0.2.1]"),
    "Anonymous TLS connection established from client.example[192.0.2.1] to mx.example: TLSv1.3 with cipher " +
      "TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519MLKEM768 server-signature ecdsa_secp256r1_sha256; " +
      "resumed, ja4=t13d521100_b262b3658495_8e6e362c5eac, handshake=7ms, verify=NONE",
  );
  assert.equal(
    establishedText(tlsFieldsOf({ ...tlsFacts(), bits: 0, role: "client" }, false), "to", "mx.example[192.0.2.1]:25"),
    "Anonymous TLS connection established to mx.example[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384; " +
      "handshake=4ms, verify=NONE",
  );
});

test("why a certificate does not verify is told only where somebody required that it does", () => {
  const problem = { kind: "self-signed", text: "the certificate is signed by itself" } as const;
  const facts = tlsFacts({ role: "client", peerCertificate: peerCertificate(), verdict: { result: "FAIL", problem } });
  assert.doesNotMatch(establishedText(tlsFieldsOf(facts, false), "to", "h"), /signed by itself/);
  assert.match(
    establishedText(tlsFieldsOf(facts, true), "to", "h"),
    /verify=FAIL, the certificate is signed by itself$/,
  );
});

const closing = (peer: Closing["peer"]): Closing => ({ peer, we: "close_notify+fin" });

test("the same end is a note after QUIT and a loss inside DATA", () => {
  assert.equal(closingText(closing("close_notify"), "over", "QUIT"), "clean after QUIT");
  assert.equal(
    closingText(closing("truncated"), "over", "QUIT"),
    "unclean: the peer ended TCP (FIN) without close_notify; after QUIT: nothing is lost",
  );
  assert.equal(
    closingText(closing("truncated"), "content", "DATA"),
    "unclean: the peer ended TCP (FIN) without close_notify; inside DATA: what was being sent is incomplete and void",
  );
  assert.match(closingText(closing("close_notify"), "content", "DATA"), /^clean, but inside DATA: .*incomplete/);
  for (const end of ["truncated", "truncated-mid-record", "reset", "no-answer", "error"] as const) {
    assert.equal(endOf(closing(end)), "unclean");
    assert.match(closingText(closing(end), "between", "RSET"), /^unclean: .*nothing is lost$/);
    assert.equal(isLoss(closing(end), "over"), false);
    assert.equal(isLoss(closing(end), "content"), true);
  }
});

test("an end that nobody saw is neither clean nor unclean", () => {
  assert.equal(endOf(closing("unknown")), undefined);
  assert.equal(closingText({ peer: "unknown", we: "cut" }, "content", "DATA").startsWith("cut by us"), true);
  assert.equal(isLoss(closing("unknown"), "content"), false);
});

test("a failure is told by its sentence, its code and its cure", () => {
  assert.equal(
    findingText({ reason: "stalled", problem: "The client fell silent.", cure: "Look at the network." }),
    "The client fell silent (stalled); usual cure: Look at the network",
  );
  assert.equal(findingText({ reason: "other", problem: "It failed", cure: "" }), "It failed (other)");
});
