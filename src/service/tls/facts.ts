/** What is true of one TLS connection, as plain data: logs, Received fields, the journal and the console are made from it. */
export interface TlsFacts {
  readonly role: TlsRole;
  /** `TLSv1.3`, `TLSv1.2`: as negotiated. */
  readonly version: string;
  /** The standard (IANA) name. */
  readonly cipher: string;
  /** The strength of the cipher in bits; 0 when it is not known. */
  readonly bits: number;
  /** The key exchange group (`X25519MLKEM768`), on both sides; undefined when it cannot be known (a resumed TLS 1.2 session). */
  readonly group?: string | undefined;
  /** Our own certificate's, or the server's: `ecdsa_secp256r1_sha256`; undefined when it was not seen. */
  readonly signature?: string | undefined;
  /** The host name in the ClientHello, as asked for by the client. */
  readonly serverName?: string | undefined;
  readonly alpn?: string | undefined;
  readonly isResumed: boolean;
  /** JA4 of the ClientHello: of the client's software, not of a person. On both sides (as a client: our own). */
  readonly clientFingerprint?: string | undefined;
  readonly handshakeMs: number;
  /** The certificate we showed; undefined on a client that showed none, and in a resumed session. */
  readonly ownCertificate?: OwnCertificate | undefined;
  /** What the peer showed; undefined when it showed none. A resumed session has what the first one had. */
  readonly peerCertificate?: PeerCertificate | undefined;
  readonly verdict: Verdict;
}

export type TlsRole = "server" | "client";

export interface OwnCertificate {
  /** SHA-256 of the DER form, lower-case hex. */
  readonly fingerprint: string;
  /** `ec`, `rsa`, `ed25519`. */
  readonly keyKind: string;
  readonly notAfterAt: number;
}

export interface PeerCertificate {
  /** SHA-256 of the DER form, lower-case hex without colons. */
  readonly fingerprint: string;
  /** SHA-256 of its SubjectPublicKeyInfo, the same way. */
  readonly keyFingerprint: string;
  /** One line: `CN=mx.example.org,O=Example`; of a longer one its beginning. */
  readonly subject: string;
  /** Only beside such a beginning: all of it, or `""` where it is too long to be compared with anything. */
  readonly wholeSubject?: string | undefined;
  readonly issuer: string;
  readonly commonName?: string | undefined;
  /** DNS names of the subjectAltName, lower case; those it has, not only those that match; no more than are kept of anybody. */
  readonly names: readonly string[];
  /** E-mail addresses of the subjectAltName, as written there. */
  readonly emails?: readonly string[] | undefined;
  readonly notBeforeAt: number;
  readonly notAfterAt: number;
  /** The chain as sent, leaf first: SHA-256 of each. */
  readonly chain: readonly string[];
}

/**
 * The outcome of verification, ours and as data. `NONE`: nobody asked for a certificate, or none was shown and none was
 * required. `OK` is said only of a certificate that was verified in full: chain, dates, and (for a server) the name.
 */
export interface Verdict {
  readonly result: "OK" | "FAIL" | "NONE" | "DANE";
  /** By what it was verified: authorities, a pinned fingerprint. */
  readonly by?: "authorities" | "fingerprint" | "dane" | undefined;
  readonly problem?: VerifyProblem | undefined;
}

export interface VerifyProblem {
  readonly kind:
    | "no-certificate"
    | "unknown-authority"
    | "self-signed"
    | "incomplete-chain"
    | "expired"
    | "not-yet-valid"
    | "wrong-name"
    | "wrong-fingerprint"
    | "revoked"
    | "unfit"
    | "no-authorities"
    | "other";
  /** One sentence for people: `the certificate is for mx1.example, not for mx.example`. */
  readonly text: string;
}

/**
 * How each side of a connection ended. The peer's: `close_notify` is a proper end; `truncated` a FIN without it;
 * `truncated-mid-record` a FIN inside a record, so that data is missing for certain; `no-answer` none within our
 * deadline; `unknown` where nobody could see it.
 */
export interface Closing {
  readonly peer:
    | "open"
    | "close_notify"
    | "truncated"
    | "truncated-mid-record"
    | "reset"
    | "no-answer"
    | "error"
    | "unknown";
  /** Ours: `cut` when we gave up without a close_notify. */
  readonly we: "open" | "close_notify" | "close_notify+fin" | "cut";
  /** For `error`: what it was. */
  readonly because?: string | undefined;
}

export function isCleanEnd(closing: Closing): boolean {
  return closing.peer === "close_notify";
}
