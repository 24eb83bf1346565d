import type { Duplex } from "node:stream";
import type { SecureContext, SecureContextOptions, TLSSocket } from "node:tls";
import type { Closing, TlsFacts, Verdict } from "./facts.ts";
import type { TlsFinding } from "./finding/finding.ts";
import type { Direction, Flight, FlightEvent } from "./flight/flight.ts";

/**
 * TLS, free of any mail protocol: SMTP stands on it, and IMAP and POP3 will. It runs over a tap (`tap.io.ts`), so that it
 * sees each record and each end of the connection, and says what happened as data:
 *
 * | part | is |
 * |---|---|
 * | `facts.ts`, `finding.ts`, `flight.ts` | the data: a connection, a failure, what went over the wire |
 * | `connection.io.ts` | one connection, from the first byte to the end of TCP, on either side |
 * | `tap.io.ts`, `ledger.ts`, `close.io.ts` | under every connection: withholds the raw end, says how each side closed, closes both ways |
 * | `conduct.ts` | what a peer may do after the handshake, and what is too much |
 * | `flight-recorder.ts`, `client-hello.ts`, `ja4.ts` | what went over the wire, bounded, always on |
 * | `reasons.ts`, `sentences.ts` | from evidence to a finding |
 * | `server.io.ts`, `client.io.ts`, `session-cache.ts` | the two drivers of a handshake; sessions that a client resumes |
 * | `read-facts.ts`, `bindings.ts` | what is true of a connection; what ties a login to it |
 * | `certificate*.ts`, `contexts*.ts`, `tickets.ts` | what servers show, by name; tickets shared by processes |
 * | `verify.ts`, `trust.ts` | verdicts on what peers show |
 *
 * Invariants: no statement about a connection is a guess (`unknown` is said); nothing a peer sends throws or ends the
 * process; each handshake and each close has a deadline and delays nobody else; a healthy connection is never destroyed,
 * it is closed.
 *
 * RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 6066 (SNI), RFC 9525 (names), RFC 5280 (certificates).
 */
export interface TlsConnection {
  /** The decrypted stream. Half-open is allowed: the peer's end leaves our side writable. */
  readonly socket: TLSSocket;
  readonly facts: TlsFacts;
  /** What is known of the end so far; never throws, also after the end. */
  closing(): Closing;
  /**
   * Sends close_notify, waits for the peer's for at most `deadlineMs`, then ends TCP. Settles always; may be called twice.
   * Costs nothing while it waits but the socket.
   */
  close(deadlineMs: number): Promise<Closing>;
  /** At once, without a close_notify: for peers that misbehave and deadlines that passed. */
  destroy(): void;
  /** What went over the wire, as of now. */
  flight(): Flight;
  /** Something went wrong after the handshake (a bad record, a flood); told once to each who asked, and the connection is cut. */
  onFinding(tell: (finding: TlsFinding) => void): void;
  /** The transport has ended, by whichever side: told once, with how. `closing` is final then. */
  onClosed(tell: (closing: Closing) => void): void;
}

export type Handshaken =
  | { readonly ok: true; readonly connection: TlsConnection }
  /** The raw stream is already destroyed. */
  | { readonly ok: false; readonly finding: TlsFinding };

/** The server's side, for one listener's TLS settings. */
export interface TlsServer {
  /** Takes over the raw stream; nobody else may listen to it. Always settles within `deadlineMs`. */
  accept(raw: Duplex, options: AcceptOptions): Promise<Handshaken>;
}

export interface AcceptOptions {
  readonly deadlineMs: number;
  /** The connection spoke plaintext until now (STARTTLS); for the words of a failure. */
  readonly isUpgrade?: boolean | undefined;
  /** What this connection's wire is shown to while it lives; undefined: to nobody. */
  readonly watch?: WireWatch | undefined;
}

/**
 * A context, and the only ALPN names that are answered with it. A server that answers any refuses clients that offer
 * others (RFC 7301 section 3.2); without the list it heeds none.
 */
export interface ShownOptions extends SecureContextOptions {
  readonly ALPNProtocols?: string[] | undefined;
}

/** What a server shows and asks for. Swapped as a whole at a reload; running connections keep theirs. */
export interface ServerProfile {
  /**
   * What is shown to who asks for a name (undefined: none was): the same object as long as it is the same, for a server is
   * made of each. May wait for a keeper or table, ten seconds at most; rejects with `NoCertificate` (`keeper.ts`), which
   * carries the reason. `offered` is the client's ALPN: a challenge of ACME (RFC 8737) has a certificate of its own.
   */
  optionsFor(serverName: string | undefined, offered?: readonly string[]): ShownOptions | Promise<ShownOptions>;
  /** For those who ask for no name, and whatever else cannot be told apart. */
  readonly defaultOptions: SecureContextOptions;
  /** RFC 5077 and RFC 8446 section 4.6.1: 48 bytes, the same in every process; undefined: tickets of this process only. */
  readonly ticketKeys?: Buffer | undefined;
  readonly ticketLifetimeMs: number;
  /**
   * What a client without (a good) certificate meets is the protocol's to say: the handshake succeeds, and the verdict is
   * FAIL under `require` (none was shown) and `verify` (none, or a bad one). A refusal inside TLS would be a mystery to it.
   */
  readonly clientCertificate: "none" | "ask" | "require" | "verify";
  /** Judges the certificate a client showed; never waits. */
  readonly verifyClient?: ((shown: ShownChain) => Verdict) | undefined;
}

/** A certificate chain as it was sent, DER, leaf first, and what OpenSSL said of it with the authorities of the context. */
export interface ShownChain {
  readonly certificates: readonly Buffer[];
  readonly isTrusted: boolean;
  /** OpenSSL's code when not: `CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`. */
  readonly trustProblem?: string | undefined;
}

/** The client's side. */
export interface TlsClientEngine {
  connect(raw: Duplex, options: ConnectOptions): Promise<Handshaken>;
}

export interface ConnectOptions {
  readonly deadlineMs: number;
  /** For SNI; undefined or an address: none is sent (RFC 6066 section 3). */
  readonly serverName?: string | undefined;
  /** Versions, ciphers, groups and authorities are the context's: there is no changing them for one connection. */
  readonly context: SecureContext;
  /** Judges what the server showed. A resumed session shows nothing: then it is given what the first one showed. */
  readonly verify: (shown: ShownChain) => Verdict;
  /** Sessions are kept and reused under this key (destination and policy); undefined: never resumed. */
  readonly sessionKey?: string | undefined;
  readonly alpn?: readonly string[] | undefined;
  readonly watch?: WireWatch | undefined;
}

/**
 * Sees a connection's wire for the log levels 0 to 4: `event` gives the steps as they happen, `bytes` what was on the
 * wire. Must not throw, and is called in the middle of the stream: it only copies.
 */
export interface WireWatch {
  readonly event?: ((event: FlightEvent) => void) | undefined;
  readonly bytes?: ((direction: Direction, bytes: Uint8Array, isHandshake: boolean) => void) | undefined;
  /** What is inside the encryption, once the handshake is done. Set only where somebody has asked for just that. */
  readonly decrypted?: ((direction: Direction, bytes: Uint8Array) => void) | undefined;
}
