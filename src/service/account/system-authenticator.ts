import { messageOf } from "../../foundation/error.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { SystemPasswords, SystemQuestion } from "./system-passwords.ts";

/** Longer ones are an attack on the hash function, not a password. */
const MOST_PASSWORD_LENGTH = 511;

/** The system's users. Names of them are lower case, mail's are of any. */
export function systemAuthenticator(
  how: Pick<SystemQuestion, "by" | "service">,
  system: SystemPasswords,
): Authenticator {
  return {
    async checkPassword(user, password): Promise<PasswordVerdict> {
      if (user === "" || password === "" || password.length > MOST_PASSWORD_LENGTH) return { kind: "wrong" };
      try {
        return await system.checkSystemPassword({ ...how, user: user.toLowerCase(), password });
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}
