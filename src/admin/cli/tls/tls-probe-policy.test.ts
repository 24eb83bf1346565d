import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyReport } from "../../../mail/delivery/tls-policy/policy-report.ts";
import type { TlsPolicy } from "../../../mail/delivery/tls-policy/policy.ts";
import type { TlsFacts, Verdict } from "../../../service/tls/facts.ts";
import type { ProbeOutcome, ProbeReport } from "./tls-probe-plan.ts";
import { policyTrial, probedPolicy } from "./tls-probe-policy.ts";

const usual = { name: "the usual handshake", about: "usual", terms: { minVersion: "TLSv1.2" } } as const;
const failed: ProbeOutcome = { trial: usual, tookMs: 1, ok: false, stage: "handshake", text: "no" };

function worked(verdict: Verdict): ProbeOutcome {
  const peerCertificate = {
    fingerprint: "aa".repeat(32),
    keyFingerprint: "bb".repeat(32),
    subject: "CN=mx.example",
    issuer: "CN=CA",
    names: ["mx.example"],
    emails: [],
    notBeforeAt: 0,
    notAfterAt: 1,
    chain: ["aa".repeat(32)],
  };
  const facts: TlsFacts = {
    role: "client",
    version: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    bits: 256,
    isResumed: false,
    handshakeMs: 1,
    peerCertificate,
    verdict,
  };
  return { trial: usual, tookMs: 1, ok: true, facts, closing: { peer: "close_notify", we: "close_notify+fin" } };
}

function told(policy: Partial<TlsPolicy> & Pick<TlsPolicy, "level">, ...trials: readonly ProbeOutcome[]) {
  const target = { host: "mx.example", port: 25, isImplicit: false, name: "mx.example", caFile: undefined, helo: "me" };
  const probe: ProbeReport = { target, chain: [], authorities: "the system's", trials };
  const report: PolicyReport = { kind: "found", policy, key: "mx.example", where: "posthorn.yaml:3:5", keysTried: [] };
  return probedPolicy(report, probe);
}

const good = worked({ result: "OK", by: "authorities" });
const bad = worked({ result: "FAIL", problem: { kind: "wrong-name", text: "it is for mx1.example" } });

test("what a policy makes of a host is what a delivery would do", () => {
  const expected: readonly (readonly [TlsPolicy["level"], ProbeOutcome, boolean])[] = [
    ["none", failed, true],
    ["may", failed, true],
    ["may", bad, true],
    ["encrypt", failed, false],
    ["encrypt", bad, true],
    ["verify", good, true],
    ["verify", bad, false],
    ["secure", failed, false],
  ];
  for (const [level, outcome, wouldGo] of expected) assert.equal(told({ level }, outcome).wouldGo, wouldGo, level);
  assert.match(told({ level: "verify" }, bad).outcome, /wait: it is for mx1\.example/);
  assert.match(told({ level: "may" }, failed).outcome, /plaintext/);
});

test("where a policy has a handshake of its own, that one is tried and decides", () => {
  const found = { kind: "found", key: "*", where: "posthorn.yaml:3:5", keysTried: [] } as const;
  const usualTerms = { minVersion: "TLSv1.2" } as const;
  const oldTerms = { minVersion: "TLSv1", maxVersion: "TLSv1.1", serverName: "sni.example" } as const;
  const trial = policyTrial({ ...found, policy: { level: "encrypt" }, terms: oldTerms });
  assert.deepEqual(trial, {
    name: "as the policy says",
    about: "policy",
    terms: { minVersion: "TLSv1", maxVersion: "TLSv1.1" },
    serverName: "sni.example",
  });
  assert.equal(policyTrial({ ...found, policy: { level: "encrypt" }, terms: usualTerms }), undefined);
  assert.equal(policyTrial({ ...found, policy: { level: "none" }, terms: oldTerms }), undefined);
  const none = { kind: "none", byMx: "may", keysTried: [] } as const;
  assert.equal(policyTrial({ ...none, terms: { minVersion: "TLSv1.3" } })?.name, "as the settings say");
  assert.equal(policyTrial({ ...none, terms: usualTerms }), undefined);
  assert.ok(trial);
  const asPolicy = (outcome: ProbeOutcome): ProbeOutcome => ({ ...outcome, trial });
  assert.equal(told({ level: "encrypt" }, failed, asPolicy(good)).wouldGo, true);
  assert.equal(told({ level: "encrypt" }, good, asPolicy(failed)).wouldGo, false);
  const impossible: ProbeOutcome = { trial, tookMs: 1, ok: false, stage: "terms", text: "not tried: no cipher match" };
  assert.deepEqual(told({ level: "may" }, good, impossible), {
    rule: "may, by posthorn.yaml:3:5 (key mx.example)",
    outcome: "mail would wait: not tried: no cipher match",
    wouldGo: false,
  });
  const untold = told({ level: "encrypt", certificate: "partner" }, good, asPolicy(failed));
  assert.deepEqual([untold.wouldGo, /certificate partner/.test(untold.outcome)], [undefined, true]);
});

test("a fingerprint counts for the certificate and for its key", () => {
  assert.equal(told({ level: "fingerprint", fingerprints: ["bb".repeat(32)] }, bad).wouldGo, true);
  assert.equal(told({ level: "fingerprint", fingerprints: ["aa".repeat(32)] }, bad).wouldGo, true);
  assert.equal(told({ level: "fingerprint", fingerprints: ["cc".repeat(32)] }, good).wouldGo, false);
});

test("where the policy verifies by something else than the probe did, the outcome is not claimed", () => {
  const other = told({ level: "verify", caFile: "/etc/own-ca.pem" }, good);
  assert.equal(other.wouldGo, undefined);
  assert.match(other.outcome, /own-ca\.pem/);
  assert.equal(told({ level: "verify", match: ["other.example"] }, good).wouldGo, undefined);
});
