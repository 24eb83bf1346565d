import type { Table } from "../table/table.ts";

/**
 * Who a client is by the certificate that it showed in its TLS handshake, which also proved that it has the key.
 *
 * A fingerprint names one certificate or key and needs no authority. What else stands in a certificate (its subject, its
 * e-mail addresses) anybody can write into one of his own, so it counts only in one that was verified.
 */
export interface CertificateIdentifier {
  identify(asked: IdentityBy, shown: ShownCertificate): Promise<CertificateIdentity>;
}

/** How a listener identifies its clients. */
export interface IdentityBy {
  /** A table: fingerprints, e-mail addresses and subjects, with an account each, or alone: may relay without a login. */
  readonly table?: string | undefined;
  /** What of a verified certificate is an account by itself. */
  readonly account: "none" | "email" | "common-name";
}

export interface ShownCertificate {
  /** SHA-256, lower-case hex: of the certificate, and of its public key. */
  readonly fingerprint: string;
  readonly keyFingerprint: string;
  /** By authorities that were given for clients. What follows counts only then. */
  readonly isVerified: boolean;
  readonly subject: string;
  readonly commonName?: string | undefined;
  readonly emails: readonly string[];
}

export type CertificateIdentity =
  | {
      readonly kind: "known";
      /** Whom AUTH EXTERNAL may log in, lower case; the first is who it is when the client does not say. */
      readonly accounts: readonly string[];
      readonly mayRelay: boolean;
    }
  | { readonly kind: "unknown" }
  /** Could not find out: a temporary failure, never a no. */
  | { readonly kind: "failed"; readonly text: string };

const UNKNOWN: CertificateIdentity = { kind: "unknown" };
/** Longer subjects are cut where they are told; what is cut names nobody. */
const LONGEST_SUBJECT = 199;
const LONGEST_ACCOUNT = 255;

export function certificateIdentifier(tables: { get(name: string): Table | undefined }): CertificateIdentifier {
  return {
    async identify(asked, shown): Promise<CertificateIdentity> {
      const accounts: string[] = [];
      let mayRelay = false;
      if (asked.table !== undefined) {
        const table = tables.get(asked.table);
        if (table === undefined) return { kind: "failed", text: `there is no table ${asked.table}` };
        for (const key of fingerprintKeys(shown)) {
          const member = await table.has(key);
          if (member.kind === "failed") return { kind: "failed", text: member.text };
          // `!fingerprint`: not this one, whatever else it says. A certificate that was lost, say.
          if (member.kind === "found" && !member.value) return UNKNOWN;
        }
        for (const key of [...fingerprintKeys(shown), ...nameKeys(shown)]) {
          // Exactly: a `*` would be a key for every certificate that anybody makes.
          const answer = await table.exact(key);
          if (answer.kind === "failed") return { kind: "failed", text: answer.text };
          if (answer.kind === "none") continue;
          const account = answer.value.trim().toLowerCase();
          if (account === "") mayRelay = true;
          else accounts.push(account);
        }
      }
      accounts.push(...ownAccounts(asked, shown));
      if (accounts.length === 0 && !mayRelay) return UNKNOWN;
      return { kind: "known", accounts: [...new Set(accounts)], mayRelay };
    },
  };
}

/** As people write them: plain, or with colons as openssl prints them. */
function fingerprintKeys({ fingerprint, keyFingerprint }: ShownCertificate): readonly string[] {
  return [fingerprint, keyFingerprint].flatMap((hex) => [hex, hex.match(/../g)?.join(":") ?? hex]);
}

function nameKeys({ isVerified, subject, emails }: ShownCertificate): readonly string[] {
  if (!isVerified) return [];
  const isWhole = subject.includes("=") && subject.length <= LONGEST_SUBJECT;
  const addresses = emails.filter(isEmail).flatMap((email) => [email, email.slice(email.lastIndexOf("@"))]);
  return [...addresses, ...(isWhole ? [subject] : [])];
}

function ownAccounts({ account }: IdentityBy, { isVerified, emails, commonName }: ShownCertificate): readonly string[] {
  if (!isVerified || account === "none") return [];
  const given = account === "email" ? emails.filter(isEmail) : [commonName ?? ""];
  return given.map((name) => name.toLowerCase()).filter(isAccountName);
}

function isEmail(text: string): boolean {
  return /^[^@\s]+@[^@\s]+$/.test(text);
}

function isAccountName(name: string): boolean {
  return name !== "" && name.length <= LONGEST_ACCOUNT && !/[\x00-\x20\x7f]/.test(name);
}
