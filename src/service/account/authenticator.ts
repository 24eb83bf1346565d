import type { SaslMechanism, ScramHash } from "../../protocol/sasl/question.ts";
import type { LoginClient } from "./logins.ts";

/**
 * Where passwords are: a table, the system, somebody else's server. Answers truthfully and at once; what must not be told
 * apart by a client (no such user, a wrong password), and who comes too often, is for `logins.ts` in front of it.
 * Never rejects: what goes wrong is `failed`. Users are compared without regard to case.
 */
export interface Authenticator {
  /** Takes the same time for an unknown user as for a wrong password. `from`: who tries, for those who look at that, too. */
  checkPassword(user: string, password: string, signal?: AbortSignal, from?: LoginClient): Promise<PasswordVerdict>;
  /** What SCRAM needs to know of an account, made from its password beforehand or on the spot. */
  scramKeys?(user: string, hash: ScramHash, signal?: AbortSignal): Promise<ScramKeysFound>;
  /** The password itself, where it is kept so: CRAM-MD5 needs it, and nothing else asks. */
  plainPassword?(user: string, signal?: AbortSignal): Promise<PlainPasswordFound>;
  /** An OAuth access token. `user` is whom the client claims to be; `""`: whoever the token says. */
  checkToken?(user: string, token: string, signal?: AbortSignal): Promise<PasswordVerdict>;
  /** What can be served: decides what is offered where the settings do not say. Undefined: what needs a password only. */
  readonly mechanisms?: readonly SaslMechanism[] | undefined;
}

export type PasswordVerdict =
  | { readonly kind: "right"; /** The account's canonical name. */ readonly account: string }
  /** `because`: for the log, where there is more to say than that. The client is never told. */
  | { readonly kind: "wrong"; readonly because?: string | undefined }
  /** The backend could not be asked: the client gets 454 4.7.0, never a permanent refusal. */
  | { readonly kind: "failed"; readonly text: string };

/** RFC 5802 section 3; the salt and the keys as bytes. */
export interface ScramKeys {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

export type ScramKeysFound =
  | { readonly kind: "found"; readonly account: string; readonly keys: ScramKeys }
  /** No such user, or one whose password is kept in a form that SCRAM can do nothing with; `because` is for the log. */
  | { readonly kind: "none"; readonly because?: string | undefined }
  | { readonly kind: "failed"; readonly text: string };

export type PlainPasswordFound =
  | { readonly kind: "found"; readonly account: string; readonly password: string }
  | { readonly kind: "none"; readonly because?: string | undefined }
  | { readonly kind: "failed"; readonly text: string };

/**
 * The iterations of SCRAM keys that we make (RFC 7677 section 4 wants 4096 at least), and of those that are made up for
 * users that do not exist: an account with another count can be told from one that does not exist.
 */
export const SCRAM_ITERATIONS = 4096;
