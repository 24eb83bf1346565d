import type { EnvelopeId } from "../../foundation/ids.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { Envelope, Message } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import type { Body } from "../queue/store.ts";
import type { NextHost, RelayTarget, TlsMode } from "../route/next-host.ts";
import type { Verdict } from "../../service/tls/facts.ts";
import type { TlsVariant } from "./tls-policy/demand.ts";
import type { PolicyQuestion, PolicyReport } from "./tls-policy/policy-report.ts";
import type { TlsKnown, TlsLearnt, TrialResult } from "./tls-policy/tls-hosts.ts";

/**
 * Delivery: carries envelopes to a next host or a mailbox and says what became of each. Before it: scheduler and route;
 * after it: the outcome, written by the scheduler. Delivery decides nothing about time, order or retry.
 *
 * The network side is a session that the scheduler drives: connect, any number of transactions, leave. Each promise
 * settles within the deadlines of RFC 5321 section 4.5.3.2 (settings), whatever the peer does; none ever rejects for what
 * a peer did. In a split server these calls cross a process boundary: everything is plain data.
 */
export interface NetworkDelivery {
  /** Finds where a relay's mail goes now. */
  resolve(request: ResolveRequest): Promise<Resolved>;
  /** Opens a session as far as being ready for MAIL: connected, greeted, encrypted as asked, logged in. */
  connect(request: ConnectRequest): Promise<Connected>;
  /** One message to some recipients over an open session. */
  transact(request: TransactRequest): Promise<Transacted>;
  /** QUIT and close in good order; never fails. */
  leave(session: string): Promise<void>;
  /** Would a handshake of this kind work? Connects, encrypts and leaves, without a login or mail. */
  tryTls(request: ConnectRequest, variant: TlsVariant | undefined): Promise<TlsTried>;
  /** Would an open session's host take mail for this address? MAIL and RCPT, no content; the session is to be left then. */
  tryRecipient(session: string, ask: RecipientTrial): Promise<RecipientTried>;
  /** Which TLS policy is in force for a destination, and why. */
  tlsPolicy(question: PolicyQuestion): Promise<PolicyReport>;
}

export interface TlsTried {
  readonly result: TrialResult;
  /** Why not, or what was negotiated. */
  readonly text: string;
  /** On which terms: those of the policy that is in force by now. */
  readonly terms?: string | undefined;
}

/** Final delivery: mailboxes, commands, discard. */
export interface LocalDelivery {
  deliver(request: LocalRequest): Promise<LocalOutcome>;
  /**
   * The server stops within this time. Commands that would live on behind it are ended before, soon enough for their outcomes to
   * be written; mailboxes have nothing to end.
   */
  finish?(withinMs: number): Promise<void>;
}

/** Addresses in wire form; `from` may be the null sender. */
export interface RecipientTrial {
  readonly from: string;
  readonly recipient: string;
}

export type RecipientTried =
  /** The reply to the last command that was said. */
  | { readonly kind: "answered"; readonly to: "MAIL" | "RCPT"; readonly reply: Reply; readonly host: string }
  | { readonly kind: "failed"; readonly text: string };

export interface ResolveRequest {
  readonly target: RelayTarget;
  readonly defaultPort: number;
  /**
   * We are a backup MX: only exchangers better than this name (`""`: our EHLO name) are wanted. Without it our own name
   * in the list still cuts it (RFC 5321 section 5.1); with it, a list without us gives nothing to go to.
   */
  readonly backupAs?: string | undefined;
}

export type Resolved =
  | {
      readonly ok: true;
      readonly hosts: readonly NextHost[];
      readonly freshUntilAt: number;
      /**
       * Nothing that a session to these hosts must have depends on the domain: it may carry mail of any other domain with the
       * same hosts of which this is true, too.
       */
      readonly isShareable?: boolean | undefined;
    }
  | { readonly ok: false; readonly failure: Failure };

export interface ConnectRequest {
  /** Chosen by the scheduler, unique in its life. */
  readonly session: string;
  readonly host: NextHost;
  readonly protocol: "smtp" | "lmtp";
  readonly tls: TlsMode;
  /** With credentials the certificate must verify unless false. */
  readonly verify: boolean;
  /** The name of a credentials entry of the settings; the delivery process looks the secret up. */
  readonly credentials?: string | undefined;
  readonly sourceAddress?: string | undefined;
  /** How long the connection may take to come about, where it is not as the settings of delivery say. */
  readonly connectTimeoutMs?: number | undefined;
  /** EHLO name. */
  readonly helo: string;
  /** A host that offers XFORWARD is told who gave us each mail. */
  readonly xforward?: boolean | undefined;
  /**
   * It is a filter. Some hand on what the listener behind them offers, and stumble over BDAT, of which they know nothing:
   * content goes there by DATA only.
   */
  readonly isContentFilter?: boolean | undefined;
  /** The relay as people know it (domain or URL without secrets), for the log. */
  readonly relay: string;
  /** The next hop as it was written, for TLS policies: `example.org`, `[192.0.2.1]:25`. Without it: the host's name. */
  readonly destination?: string | undefined;
  /** What earlier sessions learnt of the host's handshakes, on whatever terms. */
  readonly known?: readonly TlsKnown[] | undefined;
}

export type Connected =
  | {
      readonly ok: true;
      readonly session: string;
      readonly facts: SessionFacts;
      readonly tookMs: number;
      /** What the next sessions should know of the host's handshakes. */
      readonly learnt?: TlsLearnt | undefined;
    }
  /** `scope` says what the failure speaks about: this address only, the host by all its addresses, or the whole relay. */
  | {
      readonly ok: false;
      readonly failure: Failure;
      readonly scope: "address" | "host" | "relay";
      readonly tookMs: number;
      readonly learnt?: TlsLearnt | undefined;
    };

/** A session's encryption, as far as log and records tell of it. */
export interface SessionTls {
  readonly version: string;
  readonly cipher: string;
  readonly bits?: number | undefined;
  readonly group?: string | undefined;
  readonly isResumed?: boolean | undefined;
  readonly serverName?: string | undefined;
  readonly verdict: Verdict;
  /** The handshake that worked was not the usual one. */
  readonly variant?: TlsVariant | undefined;
}

export interface SessionFacts {
  /** `name[address]:port`, as the log shows it. */
  readonly host: string;
  readonly extensions: readonly string[];
  readonly tls?: SessionTls | undefined;
  /** The level in force and who says so; undefined over a unix socket. */
  readonly tlsRule?: { readonly level: string; readonly rule: string } | undefined;
  /** RFC 9422 LIMITS: most recipients in a transaction, most transactions in a session. */
  readonly mostRecipients?: number | undefined;
  /** The same, RCPTDOMAINMAX: most recipient domains in a transaction. */
  readonly mostDomains?: number | undefined;
  readonly mostTransactions?: number | undefined;
  /** Why the session is not encrypted although it was tried: the handshake failed and the mode allows plaintext. */
  readonly plaintextBecause?: string | undefined;
  /**
   * Another session may be offered more: this one is plaintext although encryption was wanted (RFC 3207 section 4.2), or
   * began with HELO, and EHLO was not refused as a server without extensions does it. What is lacking is lacking for now only.
   */
  readonly mayOfferMore?: boolean | undefined;
  /** SIZE as announced; 0 or undefined: no limit known. */
  readonly sizeLimitBytes?: number | undefined;
}

export interface TransactRequest {
  readonly session: string;
  readonly message: Message;
  readonly envelopes: readonly Envelope[];
  readonly body: Body;
}

export interface Transacted {
  /** One for each envelope, in the request's order. */
  readonly outcomes: readonly Outcome[];
  /** May the session take another transaction? When not, it is already closed. */
  readonly isUsable: boolean;
  /** When the session ended here: what that says about the host (421, lost connection). */
  readonly ended?: { readonly failure: Failure; readonly scope: "address" | "host" | "relay" } | undefined;
}

export interface LocalRequest {
  readonly message: Message;
  readonly envelope: Envelope;
  readonly body: Body;
  readonly attempt: number;
}

/** What became of one envelope in one attempt. */
export type Outcome =
  | {
      readonly kind: "delivered";
      readonly envelope: EnvelopeId;
      /** `name[address]:port`, `maildir:...`: who has it now. */
      readonly relay: string;
      /** The reply or the place, for the log: `250 2.0.0 Ok: queued as 4XK`. */
      readonly text: string;
      readonly status: string;
      /** The next host took over the duty of DSNs (it offered DSN): RFC 3461 section 5. False for a relay that did not. */
      readonly dsnPassedOn: boolean;
      /** Final delivery into a mailbox rather than relay: a success DSN says `delivered` rather than `relayed`. */
      readonly isFinal: boolean;
      readonly taker?: Taker | undefined;
      readonly tookMs: number;
    }
  | {
      readonly kind: "failed";
      readonly envelope: EnvelopeId;
      readonly relay: string;
      readonly failure: Failure;
      readonly tookMs: number;
    };

/** Who has what was delivered, where that is no mailbox: a user's file, a program, a list's members, or nobody any more. */
export type Taker = "file" | "command" | "list" | "nobody";

/** What became of one envelope in a final delivery. */
export type LocalOutcome = Outcome | Forwarded;

/** The user sends it on. The envelope goes, and one for each target comes, of the same message, in one step. */
export interface Forwarded {
  readonly kind: "forwarded";
  readonly envelope: EnvelopeId;
  /** `forward:/home/jane/.forward`. */
  readonly relay: string;
  /** Whose file it is: commands and files in it are run and written as this user. */
  readonly user: string;
  readonly targets: readonly ForwardTarget[];
  readonly text: string;
  readonly tookMs: number;
}

/** One entry of a user's `.forward`. */
export type ForwardTarget =
  /** `isFinal`: written as `\\user`: into the mailbox. */
  | { readonly kind: "address"; readonly address: string; readonly isFinal: boolean }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "file"; readonly path: string };
