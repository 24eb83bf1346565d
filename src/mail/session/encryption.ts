import type { ReceivedTls } from "../../protocol/message/received-field.ts";
import type { TlsFacts } from "../../service/tls/facts.ts";
import { encrypted } from "./events.ts";
import { clientText, tell, type Action, type Peer, type World } from "./state.ts";

/** What a session says of its TLS connection: to the log, and in the Received field. */
export function tellEncrypted(world: World, peer: Peer, tls: TlsFacts): Action {
  return tell(encrypted, {
    session: world.terms.session,
    listener: world.terms.listener,
    client: clientText(peer),
    version: tls.version,
    cipher: tls.cipher,
    bits: tls.bits,
    group: tls.group,
    signature: tls.signature,
    serverName: tls.serverName,
    isResumed: tls.isResumed,
    fingerprint: tls.clientFingerprint,
    handshakeMs: Math.round(tls.handshakeMs),
    verify: verifyOf(tls),
    problem: tls.verdict.problem?.text,
    certificate: tls.peerCertificate?.fingerprint,
    subject: tls.peerCertificate?.subject,
  });
}

/** The TLS clause of our Received field. */
export function traceOf(tls: TlsFacts): ReceivedTls {
  return {
    version: tls.version,
    cipher: tls.cipher,
    bits: tls.bits === 0 ? undefined : tls.bits,
    group: tls.group,
    verify: verifyOf(tls),
  };
}

/**
 * `OK` needs a certificate that was shown and a verdict that says so; one that was shown and is not `OK` is `FAIL`,
 * whatever the verdict left out; without one there is nothing to verify.
 */
export function verifyOf(tls: TlsFacts): "OK" | "FAIL" | "NONE" {
  if (tls.peerCertificate === undefined) return "NONE";
  return tls.verdict.result === "OK" ? "OK" : "FAIL";
}
