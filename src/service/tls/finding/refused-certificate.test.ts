import assert from "node:assert/strict";
import { test } from "node:test";
import { peerCertificate } from "../../../testing/tls-facts.ts";
import type { TlsFacts } from "../facts.ts";
import { refusedCertificate } from "./refused-certificate.ts";

const flight = { role: "client", startedAt: 0, events: [], omitted: 0, bytes: { in: 0, out: 0 }, wire: [] } as const;
const facts: TlsFacts = {
  role: "client",
  version: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  bits: 256,
  isResumed: false,
  handshakeMs: 12,
  verdict: {
    result: "FAIL",
    by: "authorities",
    problem: { kind: "expired", text: "the certificate expired on 2026-06-01" },
  },
};

test("a server's certificate that does not pass is the server's fault, with the problem in the sentence", () => {
  const found = refusedCertificate(facts, flight);
  assert.equal(found.reason, "verification-failed");
  assert.equal(found.fault, "peer");
  assert.match(found.sentence, /the certificate expired on 2026-06-01\.$/);
  assert.equal(found.afterMs, 12);
});

test("a certificate that nobody judged is never taken for a good one", () => {
  const found = refusedCertificate(
    { ...facts, verdict: { result: "NONE" }, peerCertificate: peerCertificate() },
    flight,
  );
  assert.equal(found.reason, "verification-failed");
  assert.match(found.sentence, /nobody looked at the certificate/);
});

test("a client without a certificate is told apart from one whose certificate is not accepted", () => {
  const server = { ...flight, role: "server" } as const;
  const of = (kind: "no-certificate" | "unknown-authority"): string =>
    refusedCertificate({ ...facts, role: "server", verdict: { result: "FAIL", problem: { kind, text: "x" } } }, server)
      .reason;
  assert.equal(of("no-certificate"), "client-certificate-missing");
  const unasked = refusedCertificate({ ...facts, role: "server", verdict: { result: "NONE" } });
  assert.equal(unasked.reason, "client-certificate-missing");
  assert.equal(of("unknown-authority"), "client-certificate-rejected");
});
