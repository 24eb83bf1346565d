import type { PasswordVerdict } from "./authenticator.ts";

/** Checks the passwords of the system's users. Only the keeper can, for only root can read them. Never rejects. */
export interface SystemPasswords {
  checkSystemPassword(question: SystemQuestion): Promise<PasswordVerdict>;
}

/** What the lookup role asks the keeper. */
export interface AccountKeeper extends SystemPasswords {
  /** From which salts of users that do not exist are made. */
  loginSecret(): Promise<Uint8Array>;
}

export interface SystemQuestion {
  readonly by: "shadow" | "pam";
  /** PAM's service: a file of that name in /etc/pam.d. */
  readonly service: string;
  readonly user: string;
  readonly password: string;
}
