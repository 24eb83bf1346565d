import type { Flight } from "../flight/flight.ts";
import type { TlsRole } from "../facts.ts";

/**
 * A diagnosed failure of TLS, with its evidence: plain data, shared by log, journal, DSN, CLI and console. A newcomer who
 * reads only `sentence` knows what happened and whose fault it is; `cure` says what usually helps.
 */
export interface TlsFinding {
  readonly reason: TlsReason;
  readonly role: TlsRole;
  /** Who has to change something. `unknown` is said when it is unknown, `nobody` where nothing is wrong. */
  readonly fault: "ours" | "peer" | "both" | "network" | "nobody" | "unknown";
  readonly sentence: string;
  readonly cure: string;
  /** An alert of either side, when one was seen. */
  readonly alert?: { readonly number: number; readonly name: string; readonly from: "us" | "peer" } | undefined;
  /** How far it got: what each side had sent last, by the names of RFC 8446 and RFC 5246. */
  readonly lastFromUs?: string | undefined;
  readonly lastFromPeer?: string | undefined;
  /** From the first byte (or the start of the handshake) to the end. */
  readonly afterMs: number;
  /** OpenSSL's or the system's own words: evidence, never shown as the truth. */
  readonly evidence?: string | undefined;
  /**
   * SHA-256 of the certificate of ours that was, or would have been, shown; the first where there is one for each kind of
   * key. Undefined where it did not come to that.
   */
  readonly ownCertificate?: string | undefined;
  /** Of the client's hello, where there was one; they stay when the flight is not kept. */
  readonly ja4?: string | undefined;
  readonly serverName?: string | undefined;
  readonly flight?: Flight | undefined;
}

/** The closed list of reason codes. Order as a handshake goes. */
export const TLS_REASONS = [
  /** Connected and went away without a byte. */
  "no-hello",
  /** Bytes that are no TLS came to a port or at a moment where TLS was due. */
  "not-tls",
  "plain-smtp",
  "http-request",
  "malformed",
  /** TLS came to a port that speaks plaintext first. */
  "tls-on-plaintext-port",
  "version-mismatch",
  "no-shared-cipher",
  "no-shared-group",
  "no-shared-signature",
  "alpn-mismatch",
  "no-certificate-for-name",
  "no-own-certificate",
  "certificate-unknown-authority",
  "certificate-expired",
  "certificate-rejected",
  "client-certificate-missing",
  "client-certificate-rejected",
  "verification-failed",
  "decrypt-error",
  "peer-alert",
  "peer-cancelled",
  /** The peer ended the TCP connection (FIN) in mid-handshake, without an alert. */
  "peer-closed",
  "peer-closed-mid-record",
  "peer-reset",
  "stalled",
  "renegotiation-refused",
  "key-update-flood",
  "bad-record",
  "data-after-close",
  "injection",
  "too-many-handshakes",
  "keeper-unavailable",
  "cut-by-us",
  "other",
] as const;

export type TlsReason = (typeof TLS_REASONS)[number];
