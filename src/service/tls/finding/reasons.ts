import type { TlsRole, Verdict } from "../facts.ts";
import type { TlsFinding, TlsReason } from "./finding.ts";
import type { Flight } from "../flight/flight.ts";
import { guessForeign } from "./foreign.ts";
import { errorNumbers } from "./openssl-error.ts";
import type { ErrorNumbers } from "./openssl-error.ts";
import { clearAlert, foreignBytes, lastStep, stageOf } from "../flight/progress.ts";
import type { Stage } from "../flight/progress.ts";
import { sentenceOf } from "./sentences.ts";
import { alertName } from "../flight/wire-names.ts";

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
  /** The connection spoke plaintext before (STARTTLS). */
  readonly isUpgrade?: boolean | undefined;
  /** What our certificate's issue is, and how many certificates we send. */
  readonly ownIssue?: OwnIssue | undefined;
  /** The versions we allow, as text. */
  readonly ownVersions?: string | undefined;
  /** Key kinds of the certificates we have for this name: `ec`, `rsa`. Empty: none. */
  readonly ownKeys?: readonly string[] | undefined;
  readonly clientCertificate?: "none" | "ask" | "require" | "verify" | undefined;
  readonly alpn?: readonly string[] | undefined;
  /** An earlier session was offered, or resumed. */
  readonly isResumed?: boolean | undefined;
  /** Records of the handshake type after the handshake (`FlightRecorder.counts`): the peer asked to renegotiate. */
  readonly lateHandshakes?: number | undefined;
}

/** Of the certificate that we show: who issued it, and what goes with it. */
export interface OwnIssue {
  readonly isSelfSigned: boolean;
  /** The issuer of the last certificate that we send, as people read it. */
  readonly lastIssuer: string;
  /** How many are sent, our own included. */
  readonly sent: number;
}

/**
 * From evidence to a finding. What the driver knows for certain goes first, then what the peer said (an alert), then what
 * our own side found in its bytes, then how the transport ended. Names of OpenSSL's errors are never read, only numbers.
 */
export function explain(evidence: Evidence): TlsFinding {
  const { role, flight, error, afterMs } = evidence;
  const numbers = error === undefined ? undefined : errorNumbers(error);
  const alert = alertOf(evidence, numbers);
  const stage = stageOf(flight);
  const reason = reasonOf(evidence, numbers, alert, stage);
  const words = numbers?.text;
  const about = { ...evidence, stage, alert, words };
  const last = { us: lastStep(flight, "out")?.what, peer: lastStep(flight, "in")?.what };
  return {
    reason,
    role,
    ...sentenceOf(reason, about),
    alert,
    lastFromUs: last.us,
    lastFromPeer: last.peer,
    afterMs,
    evidence: words,
    ja4: flight.hello?.ja4,
    serverName: flight.hello?.serverName,
    flight,
  };
}

function alertOf({ flight }: Evidence, numbers: ErrorNumbers | undefined): TlsFinding["alert"] {
  const fromPeer = numbers?.alert ?? clearAlert(flight, "in");
  if (fromPeer !== undefined) return { number: fromPeer, name: alertName(fromPeer), from: "peer" };
  const fromUs = clearAlert(flight, "out");
  return fromUs === undefined ? undefined : { number: fromUs, name: alertName(fromUs), from: "us" };
}

function reasonOf(
  evidence: Evidence,
  numbers: ErrorNumbers | undefined,
  alert: TlsFinding["alert"],
  stage: Stage,
): TlsReason {
  const { role, flight, end, phase, context } = evidence;
  if (context?.known !== undefined) return context.known;
  const verdict = context?.verdict;
  if (verdict?.result === "FAIL") {
    if (role === "client") return "verification-failed";
    return verdict.problem?.kind === "no-certificate" ? "client-certificate-missing" : "client-certificate-rejected";
  }
  const foreign = foreignBytes(flight, "in");
  if (foreign !== undefined) {
    const guess = foreign.what === "not TLS" ? guessForeign(foreign.detail ?? "") : "other";
    return guess === "smtp" ? "plain-smtp" : guess === "http" ? "http-request" : "not-tls";
  }
  if (phase === "plaintext" && (flight.hello !== undefined || flight.events.length > 0)) return "tls-on-plaintext-port";
  if (phase !== "handshake" && (context?.lateHandshakes ?? 0) > 0) return "renegotiation-refused";
  if (alert?.from === "peer") return reasonOfAlert(alert.number, evidence);
  const found = numbers?.reason === undefined ? undefined : REASONS[numbers.reason];
  if (found === "no-shared-signature" && context?.ownKeys?.length === 0) return "no-own-certificate";
  if (found !== undefined) return found;
  if (numbers?.code === "ERR_TLS_SESSION_ATTACK") return "renegotiation-refused";
  // What we said ourselves of a message that makes no sense: illegal_parameter, decode_error, missing_extension and such.
  if (end === "error" && alert?.from === "us" && MALFORMED_ALERTS.has(alert.number)) return "malformed";
  return reasonOfEnd(evidence, stage);
}

function reasonOfEnd({ role, end, phase }: Evidence, stage: Stage): TlsReason {
  switch (end) {
    case "fin":
    case "rst":
      if (role === "server" && phase === "handshake" && stage === "connected") return "no-hello";
      return end === "fin" ? "peer-closed" : "peer-reset";
    case "fin-mid-record":
      return "peer-closed-mid-record";
    case "timeout":
      return "stalled";
    case "local":
      return "cut-by-us";
    case "error":
      return "other";
  }
}

/** An alert of the peer (RFC 8446 section 6.2). About certificates it means ours: the server's, or the client's. */
function reasonOfAlert(number: number, { role, flight, phase }: Evidence): TlsReason {
  switch (number) {
    case 0:
    case 90:
      return "peer-cancelled";
    case 20:
    case 21:
      return "bad-record";
    case 40:
      // RFC 5246 section 7.4.6: so a server of TLS 1.2 refuses a client without a certificate.
      return role === "client" && hasSentNoCertificate(flight) ? "client-certificate-missing" : "peer-alert";
    case 41:
    case 116:
      return role === "client" ? "client-certificate-missing" : "certificate-rejected";
    case 42:
    case 43:
    case 44:
    case 46:
      return role === "client" ? "client-certificate-rejected" : "certificate-rejected";
    case 45:
      return role === "client" ? "client-certificate-rejected" : "certificate-expired";
    case 48:
      return role === "client" ? "client-certificate-rejected" : "certificate-unknown-authority";
    case 51:
      return "decrypt-error";
    case 70:
      return "version-mismatch";
    case 71:
      return "no-shared-cipher";
    case 100:
      return phase === "handshake" ? "peer-alert" : "renegotiation-refused";
    case 112:
      return "no-certificate-for-name";
    case 120:
      return "alpn-mismatch";
    default:
      return "peer-alert";
  }
}

/** In TLS 1.2 all of it is in clear: we were asked for a certificate, and sent an empty list. */
function hasSentNoCertificate(flight: Flight): boolean {
  const wasAsked = flight.events.some((event) => event.direction === "in" && event.what === "CertificateRequest");
  const sent = flight.events.find((event) => event.direction === "out" && event.what === "Certificate");
  return wasAsked && sent?.detail === "none";
}

const MALFORMED_ALERTS = new Set([10, 47, 50, 109, 110]);

/** OpenSSL's reasons by number (`sslerr.h`; kept since OpenSSL 1.1). */
const REASONS: Readonly<Record<number, TlsReason>> = {
  // A group, a key share.
  101: "no-shared-group",
  295: "no-shared-group",
  378: "no-shared-group",
  410: "no-shared-group",
  // Signatures and certificates of our own.
  118: "no-shared-signature",
  370: "no-shared-signature",
  376: "no-shared-signature",
  177: "no-own-certificate",
  179: "no-own-certificate",
  // Versions.
  166: "version-mismatch",
  191: "version-mismatch",
  258: "version-mismatch",
  259: "version-mismatch",
  266: "version-mismatch",
  373: "version-mismatch",
  396: "version-mismatch",
  // Ciphers.
  181: "no-shared-cipher",
  193: "no-shared-cipher",
  261: "no-shared-cipher",
  235: "alpn-mismatch",
  // Not TLS.
  155: "http-request",
  156: "http-request",
  252: "not-tls",
  267: "not-tls",
  // The peer's certificate.
  134: "verification-failed",
  199: "client-certificate-missing",
  // Signatures that do not fit.
  123: "decrypt-error",
  149: "decrypt-error",
  253: "decrypt-error",
  // Records and messages.
  147: "bad-record",
  281: "bad-record",
  298: "bad-record",
  129: "bad-record",
  443: "bad-record",
  132: "key-update-flood",
  291: "data-after-close",
  339: "renegotiation-refused",
  115: "malformed",
  146: "malformed",
  150: "malformed",
  152: "malformed",
  159: "malformed",
  160: "malformed",
  198: "malformed",
  226: "malformed",
  227: "malformed",
  271: "malformed",
  275: "malformed",
};
