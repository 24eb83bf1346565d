import { accountKey } from "./account-key.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";

/**
 * What an account is called that was opened by this name, folded. Databases and directories take `jane ` or `jané` for jane where
 * their rules of comparing say so; rules, limits and sender rights go by the account's name, so it must be one. `isSame`:
 * whether the plain writing opens the same account. Elsewhere the two are two accounts.
 */
export async function accountNamed(name: string, isSame: (plain: string) => Promise<boolean>): Promise<string> {
  const plain = accountKey(name);
  return plain !== name && plain !== "" && (await isSame(plain)) ? plain : name;
}

/** For who compares passwords itself: the plain writing opens the same account if it does so with the same password. */
export function namedPlainly(authenticator: Authenticator): Authenticator {
  return {
    ...authenticator,
    async checkPassword(user, password, signal, from): Promise<PasswordVerdict> {
      const verdict = await authenticator.checkPassword(user, password, signal, from);
      if (verdict.kind !== "right") return verdict;
      let failed: PasswordVerdict | undefined;
      const account = await accountNamed(verdict.account, async (plain) => {
        const again = await authenticator.checkPassword(plain, password, signal, from);
        if (again.kind === "failed") failed = again;
        return again.kind === "right";
      });
      return failed ?? { kind: "right", account };
    },
  };
}
