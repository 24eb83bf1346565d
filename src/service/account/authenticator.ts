/** Checks a user's password. Takes the same time for an unknown user as for a wrong password. */
export interface Authenticator {
  checkPassword(user: string, password: string, signal?: AbortSignal): Promise<PasswordVerdict>;
}

export type PasswordVerdict =
  | { readonly kind: "right"; /** The account's canonical name. */ readonly account: string }
  | { readonly kind: "wrong" }
  /** The backend could not be asked: the client gets 454 4.7.0, never a permanent refusal. */
  | { readonly kind: "failed"; readonly text: string };
