import type { Reply } from "../../protocol/smtp/reply.ts";
import type { EnvelopeTarget } from "./envelope.ts";
import type { ExpansionStep } from "./expansion.ts";
import type { MailChange, RestrictionStage } from "./restrictions/mail-change.ts";
import type { VerpDelimiters } from "./rewrite/verp.ts";

/**
 * What reception asks about senders and recipients: may this be accepted here, and what becomes of it. The answer comes
 * from rules and tables (`rules.ts`); relaying is closed unless a rule opens it.
 */
export interface EnvelopePolicy {
  judgeRecipient(facts: SessionFactsForRules, recipient: string): Promise<Judgement>;
  /** Whether the From fields of this client's mail are to be judged, `to-warn`: and nothing refused for them; absent: never. */
  wantsAuthor?(facts: SessionFactsForRules): boolean | "to-warn";
  /** At which other stages this listener's restrictions want to be asked; absent: at none. */
  stagesAt?(listener: string): ReadonlySet<RestrictionStage>;
  /** What restrictions say at a stage other than RCPT. `changes`: what they wanted done to the mail so far. */
  judgeStage?(
    facts: SessionFactsForRules,
    stage: RestrictionStage,
    changes?: readonly MailChange[],
  ): Promise<StageJudgement>;
  /** `fields`: the values of all From fields, as they stand. */
  judgeAuthor?(facts: SessionFactsForRules, fields: readonly string[]): Promise<AuthorVerdict>;
}

export type AuthorVerdict =
  | { readonly kind: "accept"; readonly notes?: readonly RestrictionNote[] | undefined }
  | { readonly kind: "reject"; readonly reply: Reply; readonly because: string };

/** What rules may look at. All of it was said or proven in the session. */
export interface SessionFactsForRules {
  readonly listener: string;
  readonly tag?: string | undefined;
  /** What filters said of the session and the mail. */
  readonly tags?: readonly string[] | undefined;
  /** Absent for a unix socket. */
  readonly clientAddress?: string | undefined;
  readonly clientName?: string | undefined;
  readonly helo?: string | undefined;
  readonly isEncrypted: boolean;
  readonly account?: string | undefined;
  /** What the client showed in its TLS handshake; absent when that was nothing. */
  readonly certificate?: CertificateForRules | undefined;
  /** The reverse path, `""` for the null sender. */
  readonly sender: string;
  /** Recipients of this mail that were accepted before; absent where no mail is on its way. */
  readonly accepted?: number | undefined;
  /** A filter put the recipient in the place of one that was accepted before: what counts mail has counted that one. */
  readonly instead?: { readonly permittedAt?: number | undefined } | undefined;
  /** The client asked for VERP, and may. */
  readonly verp?: VerpDelimiters | undefined;
  /** What restrictions of earlier stages refused, one of each, to be told now. */
  readonly earlier?: readonly Extract<StageJudgement, { kind: "reject" }>[] | undefined;
  /** What they want done to the mail. */
  readonly wanted?: readonly MailChange[] | undefined;
  /** What only restrictions look at. */
  readonly more?: SessionFactsForRestrictions | undefined;
}

/** What else is known of a session and its mail, for those who ask others about it. */
export interface SessionFactsForRestrictions {
  /** One for each session, and for each mail in it. */
  readonly session: string;
  readonly transaction?: string | undefined;
  readonly message?: string | undefined;
  /** `ESMTP`, `SMTP`, `LMTP` */
  readonly protocol: string;
  readonly clientPort?: number | undefined;
  readonly serverAddress?: string | undefined;
  readonly serverPort?: number | undefined;
  readonly mechanism?: string | undefined;
  readonly encryption?:
    | { readonly protocol: string; readonly cipher: string; readonly bits?: number | undefined }
    | undefined;
  readonly certificateIssuer?: string | undefined;
  /** Accepted so far. */
  readonly recipients: readonly { readonly given: string }[];
  /** What the client announced; at the end of the content, what it sent. */
  readonly sizeBytes?: number | undefined;
  readonly isInternational?: boolean | undefined;
}

export interface CertificateForRules {
  /** SHA-256, lower-case hex: of the certificate, and of its public key. */
  readonly fingerprints: readonly string[];
  readonly isVerified: boolean;
  /** Of a verified certificate only, as is `names`: host names, e-mail addresses, common name. */
  readonly subject?: string | undefined;
  readonly names: readonly string[];
  /** The listener's table says so, or could not be asked. */
  readonly mayRelay: boolean | { readonly failed: string };
}

export type Judgement =
  | {
      readonly kind: "accept";
      readonly targets: readonly Target[];
      readonly rule: string;
      /** All that is known of the address is that its mail is passed on: nobody here knows whether there is one like it. */
      readonly isUnverified?: true | undefined;
      /** By which entries of tables it came to these targets; absent where it is one itself. */
      readonly steps?: readonly ExpansionStep[] | undefined;
      readonly notes?: readonly RestrictionNote[] | undefined;
      /** What restrictions want done to the mail. */
      readonly changes?: readonly MailChange[] | undefined;
      /** Which restriction permitted it, by its place: none behind it was asked. */
      readonly permittedAt?: number | undefined;
      /** The same, of what earlier stages found: what was wanted there behind this place is not wanted of it. */
      readonly excusedFrom?: number | undefined;
    }
  /** `because` is for the log; the reply is what the client is told. 4xx when a table could not be asked. */
  | {
      readonly kind: "reject";
      readonly reply: Reply;
      readonly because: string;
      /** The name of the rule that refused, where it was one. */
      readonly rule?: string | undefined;
      /** The name of the one that refused, where that was not the rules. */
      readonly restriction?: string | undefined;
      /** Its place among the restrictions of its listener: several may have one name. */
      readonly place?: number | undefined;
      readonly notes?: readonly RestrictionNote[] | undefined;
    };

export type StageJudgement =
  | {
      readonly kind: "accept";
      readonly notes?: readonly RestrictionNote[] | undefined;
      /** Found at this stage. */
      readonly changes?: readonly MailChange[] | undefined;
    }
  | (Extract<Judgement, { kind: "reject" }> & {
      /** Not at the next RCPT, but here. */
      readonly isAtOnce: boolean;
      /** What made the mail wait in front of it: all that is left for whom a restriction between the two permits by RCPT. */
      readonly before?: Extract<Judgement, { kind: "reject" }> | undefined;
      /** What those in front of it want done to the mail; the same is true of them. */
      readonly changes?: readonly MailChange[] | undefined;
    });

/** What a restriction has to say that decided nothing: what it would have refused, or what it was told. */
export interface RestrictionNote {
  readonly restriction: string;
  readonly text: string;
  /** It would have refused or changed the mail, and is only to warn. */
  readonly isWarning?: boolean | undefined;
}

export interface Target {
  readonly recipient: string;
  readonly action: string;
  /** What else an envelope for it carries; see there. */
  readonly target?: EnvelopeTarget | undefined;
  readonly via?: readonly string[] | undefined;
  /** RFC 3461 section 5.2.7: a list makes the mail its own, so what was asked of it does not go to its members. */
  readonly isListMember?: boolean | undefined;
  /** The list itself: only for whoever asked to hear that the list has the mail. */
  readonly isReceipt?: boolean | undefined;
  /** MAIL FROM of its envelope, where that is not the message's. */
  readonly sender?: string | undefined;
}
