import type { Emit, EventDeclaration, FieldDeclaration, FieldsOf } from "../../foundation/events.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { ContentFacts } from "../../protocol/smtp/content-facts.ts";
import type { Command, CommandProblem } from "../../protocol/smtp/command.ts";
import type { MailParameters, RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { FieldsToAdd } from "../../protocol/message/missing-fields.ts";
import type { SaslServer } from "../../protocol/sasl/server.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { SaslAnswer, SaslMechanism, SaslQuestion } from "../../protocol/sasl/question.ts";
import type { LoginClient } from "../../service/account/logins.ts";
import type { CertificateIdentity, IdentityBy, ShownCertificate } from "../../service/account/client-certificate.ts";
import type { Closing, TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Envelope, Message, Quarantine } from "../envelope/envelope.ts";
import type { AuthorVerdict, Judgement, SessionFactsForRules, Target } from "../envelope/policy.ts";
import type { FilterFacts, FilterNotice, FilterQuestion, FilterStage, MailFacts } from "../filter/filter.ts";
import type { SiftedMail, StageOutcome } from "../filter/outcome.ts";
import type { Woken } from "../queue/queue.ts";
import type { Allowance } from "./allowance.ts";
import type { MasqueradeSettings, VerpSettings } from "../envelope/rewrite/settings.ts";
import type { FilterRefusal, Pending } from "./ask-filters.ts";
import type { SessionSettings } from "./settings.ts";
import type { StorageFailure } from "./storage-failure.ts";

/** The words of the session machine: what it knows (`Session`), hears (`Input`) and asks for (`Action`). */
export interface Session {
  /** Who is connected, whatever XCLIENT makes of it. */
  readonly origin: Peer;
  /** XCLIENT has said who the client is; from there on no TLS is started. */
  readonly isActedFor?: true | undefined;
  /** XCLIENT has said an address or a name, so there is somebody whose login it gave. */
  readonly isClientNamed?: true | undefined;
  /** What filters said of the connection, before the client said a word. */
  readonly connectionTags?: readonly string[] | undefined;
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
  /** A filter refused the connection: so is all mail that comes by it. */
  readonly refused?: FilterRefusal | undefined;
  /** Whose login failed last, for filters that want to know. */
  readonly deniedUser?: string | undefined;
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
  /** The account is a user of this host, as the system says. */
  readonly isLocalUser?: boolean | undefined;
  readonly mechanism?: string | undefined;
  /** What filters said of the session. */
  readonly tags?: readonly string[] | undefined;
  /** XFORWARD: the client of our client, for the next mail. */
  readonly forwarded?: ReadonlyMap<string, string> | undefined;
}

export interface ClientCertificate {
  readonly shown: ShownCertificate & {
    /** DNS names. */
    readonly names: readonly string[];
    /** All of the subject; `""` where it is too long to be compared with anything. */
    readonly wholeSubject: string;
  };
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
      /** Filters were asked about it already, and gave it this name. */
      readonly isFiltered?: true | undefined;
    }
  /** Filters are asked whether it may go on. */
  | { readonly at: "filtering"; readonly pending: Pending }
  /** Filters look at a whole mail. */
  | { readonly at: "sifting"; readonly transaction: Transaction; readonly content: Content }
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
      /** Who refused it, for the log, where that was a filter or a restriction. */
      readonly about?: FilterRefusal["about"] | undefined;
    }
  /** Whether the From field is the client's own is being found out. */
  | { readonly at: "weighing"; readonly transaction: Transaction; readonly content: Content }
  | {
      readonly at: "committing";
      readonly transaction: Transaction;
      readonly message: Message;
      /** How many it has. */
      readonly envelopes: number;
      readonly since: number;
      readonly quarantine?: Quarantine | undefined;
    }
  | { readonly at: "authenticating"; readonly exchange: SaslServer }
  /** The exchange has asked those who know the accounts. */
  | { readonly at: "checking"; readonly exchange: SaslServer }
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
  /** XFORWARD: who gave the mail to our client. */
  readonly forwarded?: ReadonlyMap<string, string> | undefined;
  /** Made at the first accepted recipient. */
  readonly message?: MessageId | undefined;
  readonly recipients: readonly AcceptedRecipient[];
  /** Those that the client is to get an answer for in LMTP, where filters have changed the recipients since. */
  readonly answered?: readonly AcceptedRecipient[] | undefined;
  /** What filters said of this mail. */
  readonly tags?: readonly string[] | undefined;
  /** Set when BDAT has begun: octets so far; `failed` when a chunk was refused, after which only RSET helps. */
  readonly chunks?: { readonly bytes: number; readonly isFailed: boolean } | undefined;
}

export interface AcceptedRecipient {
  readonly given: string;
  readonly parameters: RcptParameters;
  readonly targets: readonly Target[];
  /** The name of the rule that accepted it; absent where a filter added it. */
  readonly rule?: string | undefined;
}

export interface Rewriting {
  /** Of addresses in envelope and header. */
  readonly masquerade?: MasqueradeSettings | undefined;
  /** Who may ask for VERP, and what it is like for those who leave that to us. */
  readonly verp?: Pick<VerpSettings, "clients" | "delimiters"> | undefined;
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
  /** How clients may log in here, best first; which of them a client is offered depends on its connection too. */
  readonly mechanisms: readonly SaslMechanism[];
  /** What a client without a certificate, or without a good one, may not do: anything, where one is required. */
  readonly clientCertificate: "none" | "ask" | "require" | "verify";
  /** Whom client certificates make their owners; undefined: nobody, and none is looked up. */
  readonly identifyBy?: IdentityBy | undefined;
  /** This client may send passwords without TLS. */
  readonly mayAuthenticateInPlain: boolean;
  readonly bareLineEnds: "reject" | "normalise";
  readonly addsMissingFields: boolean;
  /** What changes in mail that comes here, where anything does. */
  readonly rewriting?: Rewriting | undefined;
  readonly vrfy: "refuse" | "noncommittal" | "answer";
  readonly expn: "refuse" | "answer";
  /** Whether a client may ask for the mail of domains: whoever it is after XCLIENT. */
  readonly mayEtrn: (peer: Peer) => boolean;
  /** Whether a client may say for whom it speaks: whoever it is after XCLIENT. */
  readonly mayXclient: (peer: Peer) => boolean;
  readonly mayXforward: (peer: Peer) => boolean;
  /** Rules and restrictions judge the client that XFORWARD names. */
  readonly judgesForwarded?: boolean | undefined;
  /** The server's name and those of its other listeners: which Received fields are ours. */
  readonly ownNames?: readonly string[] | undefined;
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
  /** Whether the From field of the client's mail is looked at. */
  wantsAuthor(facts: SessionFactsForRules): boolean | "to-warn";
  readonly allowance: Allowance;
  /** Who else has a say at this listener; absent: nobody. */
  readonly filters?: SessionFilters | undefined;
  /** What a login can be tied to of the TLS connection (RFC 5056); undefined for kinds that it has not. */
  binding(kind: string): Buffer | undefined;
  /** Printable, without comma, at least 18 octets of chance, another one each time. */
  nonce(): string;
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
  /** The answer to `weigh`. */
  | { readonly kind: "weighed"; readonly verdict: AuthorVerdict }
  /** The answer to `check`. */
  | { readonly kind: "checked"; readonly answer: SaslAnswer }
  /** The answer to `filter`. */
  | { readonly kind: "filtered"; readonly outcome: StageOutcome }
  /** The answer to `sift`. */
  | { readonly kind: "sifted"; readonly sifted: Sifted }
  | ({ readonly kind: "not-sifted" } & StorageFailure)
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
  | ({ readonly kind: "not-committed" } & StorageFailure)
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
  /** The From fields, where they matter. */
  readonly authorFields?: readonly string[] | undefined;
  /** The header section ends with a line that is no field, and was left so: some readers look for fields behind it. */
  readonly isHeaderBroken?: boolean | undefined;
  /** The Received fields' values, where they were wanted. */
  readonly received?: readonly string[] | undefined;
  /** Why the content was not kept to its end. */
  readonly refusal?: "too-big" | "header-too-big" | "bare-header" | StorageFailure | undefined;
}

export type Action =
  | { readonly do: "reply"; readonly reply: Reply }
  | { readonly do: "tell"; readonly tell: (emit: Emit) => void }
  | { readonly do: "judge"; readonly facts: SessionFactsForRules; readonly recipient: string }
  | { readonly do: "weigh"; readonly facts: SessionFactsForRules; readonly fields: readonly string[] }
  /** `isAnew`: XCLIENT has named another client; what filters know and said is about the one before. */
  | {
      readonly do: "filter";
      readonly question: FilterQuestion;
      readonly who: SessionFactsForRules;
      readonly isAnew?: true | undefined;
    }
  | {
      readonly do: "sift";
      readonly facts: FilterFacts & { readonly mail: MailFacts };
      readonly who: SessionFactsForRules;
      readonly recipients: readonly AcceptedRecipient[];
    }
  /** A mail begins, as filters see it. */
  | { readonly do: "newMail" }
  | { readonly do: "note"; readonly notice: FilterNotice }
  | { readonly do: "wake"; readonly domain: string; readonly withSubdomains: boolean }
  | { readonly do: "check"; readonly question: SaslQuestion; readonly from: LoginClient }
  | { readonly do: "identify"; readonly by: IdentityBy; readonly shown: ShownCertificate }
  | { readonly do: "receiveData"; readonly opening: Opening }
  /** Without an opening the chunk is only swallowed. The same message goes on when its content is open already. */
  | {
      readonly do: "receiveChunk";
      readonly opening: Opening | undefined;
      readonly sizeBytes: number;
      readonly isLast: boolean;
    }
  | {
      readonly do: "commit";
      readonly message: Message;
      readonly envelopes: readonly Envelope[];
      readonly quarantine?: Quarantine | undefined;
    }
  /** Forget the content of the transaction. */
  | { readonly do: "abandon" }
  | { readonly do: "startTls" }
  | { readonly do: "close" };

/** What filters made of a mail. Content that they changed is with the driver. */
export interface Sifted extends Omit<SiftedMail, "header" | "body"> {
  /** Of the content as it is now, our own fields included. */
  readonly storedBytes: number;
  /** Where the content was changed: whether there is more than ASCII in it now. */
  readonly has8bit?: boolean | undefined;
  /** The recipients as the rules see them with the tags that filters gave the whole mail; absent: as they were. */
  readonly rejudged?: readonly AcceptedRecipient[] | undefined;
  /** Recipients that filters added, with what they stand for. */
  readonly placed: readonly AcceptedRecipient[];
  /** Those that the rules would not have. */
  readonly misplaced: readonly { readonly recipient: string; readonly because: string }[];
}

/** What the machine knows of the filters at its listener. */
export interface SessionFilters {
  wants(stage: FilterStage): boolean;
  readonly wantsNotes: boolean;
  /** Restrictions are asked: they look at more of a session than rules do. */
  readonly isRestricted?: boolean | undefined;
  /** Where the client came in. */
  readonly server?: FilterFacts["server"];
}

/** What the stored content begins with, and how it is kept. */
export interface Opening {
  readonly message: MessageId;
  /** Our Received field. */
  readonly trace: string;
  /** Present where missing fields are to be added: for `missingFields`. */
  readonly adding?: FieldsToAdd | undefined;
  /** Whether the Received fields that came are wanted. */
  readonly wantsTrace?: boolean | undefined;
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
