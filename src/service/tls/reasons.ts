import type { TlsRole, Verdict } from "./facts.ts";
import type { TlsFinding, TlsReason } from "./finding.ts";
import type { Flight } from "./flight.ts";

/**
 * How the failure showed at the transport: `fin` and `rst` are the peer's ends, `fin-mid-record` one inside a record,
 * `timeout` our deadline, `local` an end of ours, `error` an error of OpenSSL or the system while the transport was open.
 */
export type RawEnd = "fin" | "fin-mid-record" | "rst" | "timeout" | "local" | "error";

/** Where the connection stood: before TLS (STARTTLS due, or a plaintext port), in the handshake, after it, after an end. */
export type TlsPhase = "plaintext" | "handshake" | "open" | "closing";

export interface Evidence {
  readonly role: TlsRole;
  readonly flight: Flight;
  readonly error?: unknown;
  readonly end: RawEnd;
  readonly phase: TlsPhase;
  readonly afterMs: number;
  readonly context?: EvidenceContext | undefined;
}

/** What the driver knows besides; each is optional, and the sentence says more with it. */
export interface EvidenceContext {
  /** Said outright by the driver where bytes and errors cannot say it: `keeper-unavailable`, `injection`, `too-many-handshakes`. */
  readonly known?: TlsReason | undefined;
  /** One clause for `known`: how many bytes were injected, what the keeper said. */
  readonly detail?: string | undefined;
  /** Our own verdict on the peer's certificate. */
  readonly verdict?: Verdict | undefined;
  /** The host we meant to reach, as a client. */
  readonly serverName?: string | undefined;
  readonly deadlineMs?: number | undefined;
  /** The versions we allow, as text. */
  readonly ownVersions?: string | undefined;
  /** Key kinds of the certificates we have for this name: `ec`, `rsa`. Empty: none. */
  readonly ownKeys?: readonly string[] | undefined;
  readonly clientCertificate?: "none" | "ask" | "require" | "verify" | undefined;
  readonly alpn?: readonly string[] | undefined;
  /** It was resumed from an earlier session, or tried to. */
  readonly isResumed?: boolean | undefined;
}

/** From evidence to a finding. Names of OpenSSL's errors are never read, only their numbers. */
export function explain(evidence: Evidence): TlsFinding {
  const { role, flight, end, afterMs, context } = evidence;
  const ends: Record<RawEnd, TlsReason> = {
    fin: "peer-closed",
    "fin-mid-record": "peer-closed-mid-record",
    rst: "peer-reset",
    timeout: "stalled",
    local: "cut-by-us",
    error: "other",
  };
  const reason = context?.known ?? ends[end];
  return { reason, role, fault: "unknown", sentence: reason, cure: "", afterMs, flight };
}
