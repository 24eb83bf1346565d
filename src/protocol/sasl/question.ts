/** What the server's side of a SASL exchange asks those who know the accounts, and what it is told: plain data. */
export type SaslQuestion =
  | { readonly kind: "password"; readonly user: string; readonly password: string }
  /** An OAuth access token; `user` may be `""`: whoever the token says. */
  | { readonly kind: "token"; readonly user: string; readonly token: string }
  /** CRAM-MD5: the keyed digest of our challenge, lower-case hex. */
  | { readonly kind: "digest"; readonly user: string; readonly challenge: string; readonly digest: string }
  /** SCRAM, first step: with which salt is the password hashed? Answered with `salt` whether there is such a user or not. */
  | { readonly kind: "scram-salt"; readonly user: string; readonly hash: ScramHash }
  /** SCRAM, last step: RFC 5802 section 3. `proof` is base64. The keys stay where they are kept. */
  | {
      readonly kind: "scram-proof";
      readonly user: string;
      readonly hash: ScramHash;
      readonly authMessage: string;
      readonly proof: string;
    };

export type SaslAnswer =
  | {
      readonly kind: "right";
      /** The account's canonical name. */
      readonly account: string;
      /** SCRAM: that we know the password too, base64. */
      readonly serverSignature?: string | undefined;
    }
  | { readonly kind: "salt"; /** base64 */ readonly salt: string; readonly iterations: number }
  /** No: no such user, a wrong password, a token that is not good. `because` is for the log. */
  | {
      readonly kind: "wrong";
      readonly because?: string | undefined;
      readonly began?: readonly LoginBlock[] | undefined;
    }
  /** Could not be found out: the client may come again. */
  | { readonly kind: "failed"; readonly text: string }
  /** Not looked at: too many failures before. */
  | { readonly kind: "blocked"; readonly block: LoginBlock };

/** An address or account from which, or into which, nobody logs in for a while. */
export interface LoginBlock {
  readonly what: "address" | "account";
  /** `192.0.2.7`, `2001:db8:1:2::/64`; the account as the client wrote it, in lower case. */
  readonly key: string;
  readonly failures: number;
  readonly untilAt: number;
}

export type ScramHash = "SHA-1" | "SHA-256";

/** All that we speak as a server, best first. */
export const SASL_MECHANISMS = [
  "SCRAM-SHA-256-PLUS",
  "SCRAM-SHA-1-PLUS",
  "SCRAM-SHA-256",
  "SCRAM-SHA-1",
  "OAUTHBEARER",
  "XOAUTH2",
  "PLAIN",
  "LOGIN",
  "CRAM-MD5",
  "EXTERNAL",
] as const;
export type SaslMechanism = (typeof SASL_MECHANISMS)[number];
