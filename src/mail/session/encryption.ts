import type { ReceivedTls } from "../../protocol/message/received-field.ts";
import type { Closing, TlsFacts } from "../../service/tls/facts.ts";

/** How the client ended TLS, for the line that says that it is lost. */
export function endText(peer: Closing["peer"] | undefined): string | undefined {
  switch (peer) {
    case "close_notify":
      return "ended with close_notify";
    case "truncated":
      return "ended without close_notify";
    case "truncated-mid-record":
      return "cut off inside a record";
    case "reset":
      return "reset";
    case "error":
      return "broken";
    case "open":
    case "no-answer":
    case "unknown":
    case undefined:
      return undefined;
  }
}

/** Why the client sends nothing more; without TLS nothing is known but that. */
export function endReason(peer: Closing["peer"] | undefined): string {
  switch (peer) {
    case "truncated":
      return "closed by the client without a close_notify";
    case "truncated-mid-record":
      return "closed by the client in the middle of a TLS record";
    case "reset":
      return "reset by the client";
    case "error":
      return "closed after a TLS error";
    case "open":
    case "no-answer":
      return "closed";
    case "close_notify":
    case "unknown":
    case undefined:
      return "closed by the client";
  }
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
function verifyOf(tls: TlsFacts): "OK" | "FAIL" | "NONE" {
  if (tls.peerCertificate === undefined) return "NONE";
  return tls.verdict.result === "OK" ? "OK" : "FAIL";
}
