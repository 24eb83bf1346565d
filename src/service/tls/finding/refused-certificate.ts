import type { TlsFacts, Verdict } from "../facts.ts";
import type { TlsFinding } from "./finding.ts";
import type { Flight } from "../flight/flight.ts";
import { explain } from "./reasons.ts";

/**
 * The handshake went through, and the peer's certificate is not what is asked for here: the caller leaves, or refuses service.
 * For TLS nothing failed; for whoever waits for mail it did, and it is told like any other failure.
 */
export function refusedCertificate(facts: TlsFacts, flight?: Flight): TlsFinding {
  const { role, verdict, serverName, handshakeMs, ownCertificate, clientFingerprint } = facts;
  const finding = explain({
    role,
    flight: flight ?? { role, startedAt: 0, events: [], omitted: 0, bytes: { in: 0, out: 0 }, wire: [] },
    end: "local",
    phase: "open",
    afterMs: handshakeMs,
    context: { verdict: verdict.result === "FAIL" ? verdict : unjudged(facts), serverName },
  });
  return { ...finding, ja4: clientFingerprint, serverName, ownCertificate: ownCertificate?.fingerprint, flight };
}

/** Never taken for a good one. */
function unjudged({ peerCertificate }: TlsFacts): Verdict {
  return peerCertificate === undefined
    ? { result: "FAIL", problem: { kind: "no-certificate", text: "no certificate was shown" } }
    : { result: "FAIL", problem: { kind: "other", text: "nobody looked at the certificate" } };
}
