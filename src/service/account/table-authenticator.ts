import type { Table } from "../table/table.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import { parsePasswordHash, verifyPassword } from "./password.ts";

/** Longer ones are an attack on the hash function, not a password. */
const MOST_PASSWORD_LENGTH = 1024;

/** Checks passwords against a table of user and password hash. Users are compared without regard to case. */
export function tableAuthenticator(accounts: Table): Authenticator {
  return {
    async checkPassword(user, password, signal): Promise<PasswordVerdict> {
      if (password.length > MOST_PASSWORD_LENGTH || user === "") {
        await verifyPassword("", undefined);
        return { kind: "wrong" };
      }
      const answer = await accounts.lookup(user, signal);
      if (answer.kind === "failed") return { kind: "failed", text: answer.text };
      const hash = answer.kind === "found" ? parsePasswordHash(answer.value) : undefined;
      if (answer.kind === "found" && hash === undefined)
        return { kind: "failed", text: `${answer.where}: the password is in no form we know` };
      const isRight = await verifyPassword(password, hash);
      return isRight ? { kind: "right", account: user.toLowerCase() } : { kind: "wrong" };
    },
  };
}

/** Without an accounts table nobody may log in; it takes as long to say. */
export const nobodyMayLogIn: Authenticator = {
  async checkPassword(): Promise<PasswordVerdict> {
    await verifyPassword("", undefined);
    return { kind: "wrong" };
  },
};
