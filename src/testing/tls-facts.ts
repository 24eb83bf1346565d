import type { PeerCertificate, TlsFacts } from "../service/tls/facts.ts";
import type { TlsFinding } from "../service/tls/finding/finding.ts";

/** A server's side of a plain TLS connection: nobody asked for a certificate. */
export function tlsFacts(changes: Partial<TlsFacts> = {}): TlsFacts {
  return {
    role: "server",
    version: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    bits: 256,
    isResumed: false,
    handshakeMs: 4,
    verdict: { result: "NONE" },
    ...changes,
  };
}

export function peerCertificate(changes: Partial<PeerCertificate> = {}): PeerCertificate {
  return {
    fingerprint: "a1".repeat(32),
    keyFingerprint: "b2".repeat(32),
    subject: "CN=ann,O=Example",
    issuer: "CN=Example CA,O=Example",
    commonName: "ann",
    names: [],
    notBeforeAt: 0,
    notAfterAt: 4_000_000_000_000,
    chain: ["a1".repeat(32)],
    ...changes,
  };
}

/** A client fell silent in mid-handshake. */
export function tlsFinding(changes: Partial<TlsFinding> = {}): TlsFinding {
  return {
    reason: "stalled",
    role: "server",
    fault: "unknown",
    sentence: "The client fell silent in the middle of the handshake.",
    cure: "Look at the network between the two.",
    afterMs: 30_000,
    ...changes,
  };
}
