import type { Emit, EventDeclaration, FieldDeclaration, FieldsOf } from "../../foundation/events.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { ContentFacts } from "../../protocol/smtp/content-facts.ts";
import type { Command, CommandProblem } from "../../protocol/smtp/command.ts";
import type { MailParameters, RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { FieldsToAdd } from "../../protocol/message/missing-fields.ts";
import type { SaslServer } from "../../protocol/sasl/server.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { PasswordVerdict } from "../../service/account/authenticator.ts";
import type { CertificateIdentity, IdentityBy, ShownCertificate } from "../../service/account/client-certificate.ts";
import type { Closing, TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding.ts";
import type { Flight } from "../../service/tls/flight.ts";
import type { Envelope, Message } from "../envelope/envelope.ts";
import type { Judgement, SessionFactsForRules, Target } from "../envelope/policy.ts";
import type { Woken } from "../queue/queue.ts";
import type { Allowance } from "./allowance.ts";
import type { SessionSettings } from "./settings.ts";

/** The words of the session machine: what it knows (`Session`), hears (`Input`) and asks for (`Action`). */
export interface Session {
  /** Who is connected, whatever XCLIENT makes of it. */
  readonly origin: Peer;
  readonly facts: Facts;
  readonly phase: Phase;
  /** Where the dialogue stands, in Postfix's words: CONNECT, EHLO, DATA, END-OF-MESSAGE; for the log. */
  readonly after: string;
  readonly errors: number;
  /** Commands since the last message that brought no mail forward. */
  readonly idleCommands: number;
  readonly authenticationFailures: number;
  /** Transactions begun. */
  readonly messages: number;
  /** The server stops: what is under way is finished, nothing new begins. */
  readonly isStopping: boolean;
}

/** What has been said or proven so far. */
export interface Facts {
  readonly peer: Peer;
  /** What to answer as: nothing heard, HELO (no extensions), EHLO or LHLO. */
  readonly greeting: "none" | "HELO" | "EHLO" | "LHLO";
  readonly helo?: string | undefined;
  readonly tls?: TlsFacts | undefined;
  /** The client's certificate and whom it makes the client; absent when none was shown, and for whom XCLIENT speaks. */
  readonly certificate?: ClientCertificate | undefined;
  readonly account?: string | undefined;
  readonly mechanism?: string | undefined;
  /** XFORWARD: the client of our client, for the log. */
  readonly forwarded?: ReadonlyMap<string, string> | undefined;
}

export interface ClientCertificate {
  readonly shown: ShownCertificate & { /** DNS names. */ readonly names: readonly string[] };
  readonly identity: CertificateIdentity;
}

export interface Peer {
  /** Absent for a unix socket. */
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** Verified: the name's addresses include this one. */
  readonly name?: string | undefined;
}

export type Phase =
  | { readonly at: "connected" }
  | { readonly at: "ready" }
  | { readonly at: "transaction"; readonly transaction: Transaction }
  | {
      readonly at: "judging";
      readonly transaction: Transaction;
      readonly recipient: string;
      readonly parameters: RcptParameters;
    }
  /** A VRFY or EXPN is out for an answer; `back` goes on afterwards. */
  | { readonly at: "asking"; readonly verb: "VRFY" | "EXPN"; readonly address: string; readonly back: Resting }
  /** An ETRN is out for an answer. */
  | { readonly at: "waking"; readonly node: string; readonly back: Resting }
  | { readonly at: "data"; readonly transaction: Transaction }
  /** A chunk is on its way. With a refusal it is only swallowed, and then refused. */
  | {
      readonly at: "chunk";
      readonly transaction: Transaction | undefined;
      readonly sizeBytes: number;
      readonly isLast: boolean;
      readonly refusal?: Reply | undefined;
    }
  | { readonly at: "committing"; readonly transaction: Transaction; readonly message: Message; readonly since: number }
  | { readonly at: "authenticating"; readonly exchange: SaslServer }
  | { readonly at: "checking"; readonly mechanism: string; readonly user: string }
  /** Who the client is by its certificate is being looked up; with `isGreeting` the greeting comes behind it. */
  | {
      readonly at: "identifying";
      readonly shown: ClientCertificate["shown"];
      readonly isGreeting: boolean;
    }
  | { readonly at: "handshake" }
  | { readonly at: "closed" };

/** Phases in which a command may come. */
export type Resting = Extract<Phase, { at: "ready" | "transaction" }>;

export interface Transaction {
  /** In wire form, `""` for the null sender. */
  readonly sender: string;
  readonly parameters: MailParameters;
  readonly startedAt: number;
  /** Made at the first accepted recipient. */
  readonly message?: MessageId | undefined;
  readonly recipients: readonly AcceptedRecipient[];
  /** Set when BDAT has begun: octets so far; `failed` when a chunk was refused, after which only RSET helps. */
  readonly chunks?: { readonly bytes: number; readonly isFailed: boolean } | undefined;
}

export interface AcceptedRecipient {
  readonly given: string;
  readonly parameters: RcptParameters;
  readonly targets: readonly Target[];
}

/** What holds for the whole session: fixed when it begins, so a reload changes nothing under it. */
export interface Terms {
  readonly session: string;
  readonly listener: string;
  readonly tag?: string | undefined;
  readonly protocol: "smtp" | "submission" | "lmtp";
  /** Our name in greetings and trace fields. */
  readonly hostname: string;
  readonly settings: SessionSettings;
  readonly tls: "off" | "offer" | "require" | "implicit";
  /** A trace of level 0 holds: no lines of TLS connections that work. */
  readonly isTlsQuiet?: boolean | undefined;
  readonly auth: "off" | "offer" | "require";
  /** What a client without a certificate, or without a good one, may not do: anything, where one is required. */
  readonly clientCertificate: "none" | "ask" | "require" | "verify";
  /** Whom client certificates make their owners; undefined: nobody, and none is looked up. */
  readonly identifyBy?: IdentityBy | undefined;
  /** This client may send passwords without TLS. */
  readonly mayAuthenticateInPlain: boolean;
  readonly bareLineEnds: "reject" | "normalise";
  readonly addsMissingFields: boolean;
  readonly vrfy: "refuse" | "noncommittal" | "answer";
  readonly expn: "refuse" | "answer";
  /** Whether a client may ask for the mail of domains: whoever it is after XCLIENT. */
  readonly mayEtrn: (peer: Peer) => boolean;
  readonly mayXclient: boolean;
  readonly mayXforward: boolean;
  /** The highest priority (RFC 6710) that clients may give their mail who proved who they are; others get at most 0. */
  readonly highestPriority: number;
  /** Kept with each message, for people and for suspensions. */
  readonly tenant?: string | undefined;
}

/** What the machine may look at. Functions only read, apart from counting and numbering. */
export interface World {
  readonly terms: Terms;
  /** Milliseconds since the epoch. */
  now(): number;
  /** What our zone adds to UTC, in minutes. */
  offsetMinutes(): number;
  /** What the queue is short of; undefined when there is room. */
  shortage(): string | undefined;
  /** Why reception is paused; undefined when it is not. */
  paused(): string | undefined;
  newMessageId(): MessageId;
  readonly allowance: Allowance;
}

export type Input =
  /** The connection is set up: greet. With implicit TLS the handshake is done. */
  /** `flight`: of implicit TLS, where it is worth keeping. */
  | { readonly kind: "begin"; readonly flight?: Flight | undefined }
  /** `bytesBehind`: what the client has already sent behind this command. */
  | { readonly kind: "command"; readonly command: Command; readonly bytesBehind: number }
  | { readonly kind: "malformed"; readonly problem: CommandProblem }
  | { readonly kind: "line-too-long" }
  | { readonly kind: "bare-line-end" }
  /** A line of an AUTH exchange. */
  | { readonly kind: "response"; readonly line: string; readonly bytesBehind: number }
  /** The answer to `judge`. */
  | { readonly kind: "judged"; readonly judgement: Judgement }
  | { readonly kind: "password-checked"; readonly verdict: PasswordVerdict }
  /** The answer to `wake`. */
  | { readonly kind: "woken"; readonly outcome: Woken }
  /** The answer to `identify`. */
  | { readonly kind: "identified"; readonly identity: CertificateIdentity }
  /** Plaintext that came between STARTTLS and our reply to it. */
  | { readonly kind: "injected"; readonly bytes: number }
  /** The data have ended, or the last chunk has. */
  | { readonly kind: "content-ended"; readonly content: Content }
  /** A chunk that was not the last, or one to be refused, has passed. */
  | { readonly kind: "chunk-ended" }
  /** An LF-only client waits for our answer to an end of data that is none (bare line ends are rejected). */
  | { readonly kind: "content-hopeless" }
  | { readonly kind: "committed" }
  | { readonly kind: "not-committed"; readonly isFull: boolean; readonly reason: string }
  /** With its flight, where it is worth keeping. */
  | { readonly kind: "tls-started"; readonly tls: TlsFacts; readonly flight?: Flight | undefined }
  | { readonly kind: "tls-failed"; readonly finding: TlsFinding }
  | { readonly kind: "spoke-too-soon"; readonly bytes: number }
  /** The first bytes are a TLS handshake, and this is no TLS port. */
  | { readonly kind: "tls-hello"; readonly finding: TlsFinding }
  | { readonly kind: "timeout"; readonly reason: string }
  /** `tls`: how the client ended that, as far as it is known. */
  | { readonly kind: "lost"; readonly reason: string; readonly tls?: Closing["peer"] | undefined }
  | { readonly kind: "stop" };

/** What the driver found while the content passed. */
export interface Content {
  readonly facts: ContentFacts;
  /** Of the stored content, our own fields included. */
  readonly storedBytes: number;
  readonly hops: number;
  readonly messageIdField?: string | undefined;
  /** Why the content was not kept to its end. */
  readonly refusal?: "too-big" | "header-too-big" | "storage" | undefined;
}

export type Action =
  | { readonly do: "reply"; readonly reply: Reply }
  | { readonly do: "tell"; readonly tell: (emit: Emit) => void }
  | { readonly do: "judge"; readonly facts: SessionFactsForRules; readonly recipient: string }
  | { readonly do: "wake"; readonly domain: string; readonly withSubdomains: boolean }
  | { readonly do: "check"; readonly user: string; readonly password: string }
  | { readonly do: "identify"; readonly by: IdentityBy; readonly shown: ShownCertificate }
  | { readonly do: "receiveData"; readonly opening: Opening }
  /** Without an opening the chunk is only swallowed. The same message goes on when its content is open already. */
  | {
      readonly do: "receiveChunk";
      readonly opening: Opening | undefined;
      readonly sizeBytes: number;
      readonly isLast: boolean;
    }
  | { readonly do: "commit"; readonly message: Message; readonly envelopes: readonly Envelope[] }
  /** Forget the content of the transaction. */
  | { readonly do: "abandon" }
  | { readonly do: "startTls" }
  | { readonly do: "close" };

/** What the stored content begins with, and how it is kept. */
export interface Opening {
  readonly message: MessageId;
  /** Our Received field. */
  readonly trace: string;
  /** Present where missing fields are to be added: for `missingFields`. */
  readonly adding?: FieldsToAdd | undefined;
  /** BINARYMIME content is kept octet for octet, whatever the listener does with bare line ends. */
  readonly isBinary: boolean;
}

export type Step = readonly [Session, readonly Action[]];

export function reply(of: Reply): Action {
  return { do: "reply", reply: of };
}

export function tell<Declared extends Record<string, FieldDeclaration>>(
  event: EventDeclaration<Declared>,
  fields: FieldsOf<Declared>,
): Action {
  return { do: "tell", tell: (emit) => emit(event, fields) };
}

export const READY: Resting = { at: "ready" };

/** `name[address]`, as the log names a client. */
export function clientText(peer: Peer): string {
  return `${peer.name ?? "unknown"}[${peer.address ?? "local"}]`;
}
