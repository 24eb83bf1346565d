import type { MessageId } from "../../foundation/ids.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";

/**
 * The filter stage: whoever else has a say in what a session receives, a milter, a scanner, a program, code. Between session
 * and queue: filters are asked at the stages of the dialogue, and at the end of the content before it is committed.
 *
 * One model for all kinds. A `Filter` is what the settings name; it opens a `FilterDialogue` for each session, which answers
 * questions with verdicts. The chain (`chain.ts`) asks them in the order of the settings, applies what one of them changed before
 * the next one looks, keeps their deadlines, and makes of a filter that fails, hangs or throws what its settings say. A filter
 * never sees a socket of the client, and never decides what a later filter or the rules may not overrule by refusing.
 */
export interface Filter {
  /** The name in the settings. */
  readonly name: string;
  /** What it wants to be asked at; the others cost nothing. */
  readonly stages: ReadonlySet<FilterStage>;
  /** Whether it wants to hear what is not asked: `note` is called only then. */
  readonly wantsNotes?: boolean | undefined;
  /**
   * Whether it may pass mail on itself (`handed-over`). It is not shown mail that somebody wants discarded or in quarantine:
   * for such a mail would be delivered all the same; nor mail that filters have left no recipient.
   */
  readonly handsOver?: boolean | undefined;
  /** A client has come, or turns out to be another one in the same session, whom XCLIENT has named. Must not throw and must not wait: connections are made at the first question. */
  open(facts: FilterFacts): FilterDialogue;
  /** For `posthorn show filters`. */
  health(): FilterHealth;
  /** No new dialogue begins; those that are open end by themselves. */
  close(): Promise<void>;
}

/** `auth`: a login succeeded. `data`: the client wants to send content. `message`: all of it has come. */
export type FilterStage = "connect" | "helo" | "auth" | "mail" | "rcpt" | "data" | "message";

/** One session's conversation with a filter. Asked in the order of the dialogue, one question at a time. */
export interface FilterDialogue {
  /**
   * Rejects with a `PosthornError` of code `FILTER_FAILED` when the filter fails; the chain has the deadline, and aborts the
   * signal when it is over.
   */
  ask(question: FilterQuestion, signal: AbortSignal): Promise<StageVerdict>;
  /** The content has come. Fails as `ask` does. */
  judge(mail: FilterMail, signal: AbortSignal): Promise<MailVerdict>;
  /** The same for who mostly knows the answer when asked: then nobody waits. Where it is there, the chain asks it. */
  readonly atOnce?: DialogueAtOnce;
  /** What happened and nobody is asked about. Never waited for, must not throw. */
  note?(what: FilterNotice): void;
  /** The session is over, whatever was under way. */
  end(): void;
}

/** Fails as a dialogue does, by throwing or by rejecting. */
export interface DialogueAtOnce {
  ask(question: FilterQuestion, signal: AbortSignal): StageVerdict | Promise<StageVerdict>;
  judge(mail: FilterMail, signal: AbortSignal): MailVerdict | Promise<MailVerdict>;
}

/** Where the session stands; all of it was said or proven there. A new object whenever something changes. */
export interface FilterFacts {
  readonly session: string;
  readonly listener: string;
  readonly tag?: string | undefined;
  /** Our name in the greeting. */
  readonly hostname: string;
  readonly protocol: "smtp" | "submission" | "lmtp";
  /** Where the client came in; absent for a unix socket. */
  readonly server?: { readonly address: string; readonly port: number } | undefined;
  /** As XCLIENT made it, where it may; `address` is absent for a unix socket. */
  readonly client: {
    readonly address?: string | undefined;
    readonly port?: number | undefined;
    /** Verified: the name's addresses include this one. */
    readonly name?: string | undefined;
  };
  readonly greeting: "none" | "HELO" | "EHLO" | "LHLO";
  readonly helo?: string | undefined;
  readonly tls?: FilterTls | undefined;
  readonly account?: string | undefined;
  /** By which mechanism it logged in. */
  readonly mechanism?: string | undefined;
  /** What filters and the listener said of this session or mail; rules match them as `tag`. */
  readonly tags: readonly string[];
  /** From MAIL on. */
  readonly mail?: MailFacts | undefined;
}

export interface FilterTls {
  /** `TLSv1.3` */
  readonly version: string;
  readonly cipher: string;
  readonly bits?: number | undefined;
  readonly certificate?:
    | {
        readonly subject?: string | undefined;
        readonly issuer?: string | undefined;
        readonly isVerified: boolean;
      }
    | undefined;
}

export interface MailFacts {
  /** Known from the first accepted recipient on. */
  readonly message?: MessageId | undefined;
  /** The reverse path in wire form, `""` for the null sender. */
  readonly sender: string;
  /** Parameters of MAIL as the client gave them: `BODY=8BITMIME`. */
  readonly parameters: readonly string[];
  /** Accepted so far. */
  readonly recipients: readonly FilterRecipient[];
  readonly isInternational: boolean;
  readonly body: "7BIT" | "8BITMIME" | "BINARYMIME";
  /** When MAIL came: from then on run the times that its parameters give in seconds. */
  readonly startedAt?: number | undefined;
  /** In whose names filters wrote Authentication-Results into this mail, having taken out what others had brought. */
  readonly resultsOf?: readonly string[] | undefined;
}

export interface FilterRecipient {
  /** As the client gave it, in wire form. */
  readonly address: string;
  readonly parameters: readonly string[];
}

export type FilterQuestion = { readonly facts: FilterFacts } & (
  | { readonly stage: "connect" }
  | { readonly stage: "helo"; readonly verb: "HELO" | "EHLO" | "LHLO"; readonly name: string }
  | { readonly stage: "auth" }
  /** `facts.mail` is the mail to be, the sender included. */
  | { readonly stage: "mail" }
  /** Asked only of recipients that everybody else accepts; not yet among those in `facts.mail`. */
  | { readonly stage: "rcpt"; readonly recipient: FilterRecipient }
  | { readonly stage: "data" }
);

/** What a filter says at a stage before the content. */
export type StageVerdict = {
  /** Added to those of the session (before MAIL) or of the mail. */
  readonly tags?: readonly string[] | undefined;
  /** For the log. */
  readonly because?: string | undefined;
} & (
  | { readonly kind: "proceed" }
  /** Goes on, and the filters behind this one are not asked about it at this stage. */
  | { readonly kind: "bypass" }
  /** Nothing more to say: about the whole session when said before MAIL, about this mail from MAIL on. It is not asked any more. */
  | { readonly kind: "content" }
  /** The command is refused with a 4xx or 5xx reply; at `connect` the session goes on, and all mail in it is refused with this. */
  | { readonly kind: "refuse"; readonly reply: Reply }
  /** The session ends with this reply. */
  | { readonly kind: "disconnect"; readonly reply: Reply }
  /** From MAIL on: the mail is accepted and thrown away. */
  | { readonly kind: "discard" }
  /** From MAIL on: the mail is kept in quarantine when it is complete. */
  | { readonly kind: "quarantine" }
  /** Instead of the argument: of HELO the name, of MAIL the sender, of RCPT the recipient (wire form, no brackets). Rules judge the new one. */
  | { readonly kind: "rewrite"; readonly to: string }
);

/** What a filter says of a whole mail. Edits hold only for mail that is kept or quarantined. */
export interface MailVerdict {
  readonly fate: MailFate;
  readonly edits?: readonly MailEdit[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** All Authentication-Results in this name are our own now. */
  readonly resultsOf?: string | undefined;
  /** The action for all recipients, instead of the one that the rules chose; its name in the settings. */
  readonly action?: string | undefined;
  readonly because?: string | undefined;
  /** For the log and for X-Spam-like statistics: a score and what it is made of, in the filter's own words. */
  readonly score?:
    | { readonly value: number; readonly wanted?: number | undefined; readonly symbols: string }
    | undefined;
}

export type MailFate =
  | { readonly kind: "keep" }
  | { readonly kind: "refuse"; readonly reply: Reply }
  | { readonly kind: "discard" }
  | { readonly kind: "quarantine" }
  /**
   * The filter has passed the mail on itself, to a listener of ours that made it durable or refused it: nothing is committed
   * here, later filters are not asked, and the client gets this reply, a 2xx, 4xx or 5xx.
   */
  | { readonly kind: "handed-over"; readonly reply: Reply };

/** In the order in which they are to be done. Field values are without the name and the final CRLF; folded lines may stand in them. */
export type MailEdit =
  /** `at`: 0 is in front of all fields that the client sent, 1 behind the first of them; without it behind the last. */
  | ({ readonly edit: "add-field"; readonly name: string; readonly at?: number | undefined } & FieldText)
  /** The nth field of this name, from 1; where there are fewer it is added. */
  | ({ readonly edit: "change-field"; readonly name: string; readonly nth: number } & FieldText)
  /** The nth of this name, or all. */
  | { readonly edit: "remove-field"; readonly name: string; readonly nth?: number | undefined }
  /** The whole header section, each field with its CRLF, without the empty line. */
  | { readonly edit: "replace-header"; readonly header: Uint8Array }
  | { readonly edit: "replace-body"; readonly body: KeptContent }
  | { readonly edit: "sender"; readonly sender: string }
  /** Goes through the rules as if the client had given it, but for what they ask of the client; what they refuse fails the edit, and is logged. */
  | { readonly edit: "add-recipient"; readonly recipient: string }
  /** As the client gave it. A mail that loses all of its recipients is discarded. */
  | { readonly edit: "remove-recipient"; readonly recipient: string };

interface FieldText {
  readonly value: string;
  /** `latin1`: a character for each byte. Without it text, which is written as UTF-8. */
  readonly encoding?: "latin1" | undefined;
}

/** A mail as the filters before left it. Without our own trace field, which stands in front of it. */
export interface FilterMail {
  readonly facts: FilterFacts & { readonly mail: MailFacts };
  /** Our Received field, with its CRLF, for those who want to see the mail as it will be delivered. */
  readonly trace: string;
  /** The header section as bytes, each field with its CRLF, without the empty line. Its fields: `rawFieldsOf` (protocol/message). */
  readonly header: Buffer;
  /** Behind the empty line. */
  readonly body: KeptContent;
  /** Header, empty line and body: what SMTP calls its size. */
  readonly sizeBytes: number;
  /** The whole mail in pieces: header, empty line, body; with `withTrace` our Received field first. */
  content(options?: { readonly withTrace?: boolean | undefined }): AsyncIterable<Buffer>;
  /** Room for content that is to replace the body: in memory while small, in a file beyond that. Gone with the mail. */
  room(): ContentRoom;
}

/** Content that is kept somewhere and can be read more than once. */
export interface KeptContent {
  readonly sizeBytes: number;
  read(): AsyncIterable<Buffer>;
}

export interface ContentRoom {
  /** A promise is back-pressure. Rejects when there is no room, or beyond the size of the largest message. */
  write(bytes: Uint8Array): void | Promise<void>;
  finish(): Promise<KeptContent>;
  abort(): void;
}

export type FilterNotice =
  | { readonly notice: "tls"; readonly facts: FilterFacts }
  | {
      readonly notice: "auth";
      readonly facts: FilterFacts;
      readonly user: string;
      readonly outcome: "pass" | "fail" | "error";
    }
  /** A line that the client sent or we answered, without what is secret. */
  | { readonly notice: "client-line" | "server-line"; readonly line: string }
  /** What became of a command: RCPT of an address, MAIL, DATA. */
  | { readonly notice: "mail" | "data"; readonly outcome: "ok" | "permfail" | "tempfail"; readonly facts: FilterFacts }
  | {
      readonly notice: "rcpt";
      readonly outcome: "ok" | "permfail" | "tempfail";
      readonly recipient: string;
      readonly facts: FilterFacts;
    }
  /** The mail is durable, and the client was told so. */
  | { readonly notice: "commit"; readonly message: MessageId; readonly sizeBytes: number }
  /** The transaction ended without a mail. */
  | { readonly notice: "rollback"; readonly message?: MessageId | undefined }
  | { readonly notice: "reset" }
  | { readonly notice: "timeout" };

export interface FilterHealth {
  readonly state: "up" | "down" | "untried";
  /** One line: where it is and what it said last. */
  readonly text: string;
  readonly asked: number;
  readonly failures: number;
  readonly lastFailure?: { readonly at: number; readonly text: string } | undefined;
  readonly meanMs?: number | undefined;
}
