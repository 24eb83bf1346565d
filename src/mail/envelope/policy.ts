import type { Reply } from "../../protocol/smtp/reply.ts";

/**
 * What reception asks about senders and recipients: may this be accepted here, and what becomes of it. The answer comes
 * from rules and tables (`rules.ts`); relaying is closed unless a rule opens it.
 */
export interface EnvelopePolicy {
  judgeRecipient(facts: SessionFactsForRules, recipient: string): Promise<Judgement>;
}

/** What rules may look at. All of it was said or proven in the session. */
export interface SessionFactsForRules {
  readonly listener: string;
  readonly tag?: string | undefined;
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
  | { readonly kind: "accept"; readonly targets: readonly Target[]; readonly rule: string }
  /** `because` is for the log; the reply is what the client is told. 4xx when a table could not be asked. */
  | { readonly kind: "reject"; readonly reply: Reply; readonly because: string };

export interface Target {
  readonly recipient: string;
  readonly action: string;
}
