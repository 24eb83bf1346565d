import type { Clock } from "../../foundation/clock.ts";
import type { Random } from "../../foundation/random.ts";
import { ldapBinder } from "../table/ldap/bind.io.ts";
import type { SystemTrust } from "../table/pool/system-trust.ts";
import type { LdapSettings } from "../table/ldap/settings.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { Turns } from "../../foundation/turns.ts";

/** Passwords are checked by logging in to a directory as the user. */
export async function ldapAuthenticator(
  settings: LdapSettings,
  password: string | undefined,
  world: { readonly clock: Clock; readonly random: Random; readonly trust: SystemTrust; readonly turns: Turns },
): Promise<Authenticator & { close(): void }> {
  const binder = await ldapBinder(settings, password, world);
  return {
    async checkPassword(user, given): Promise<PasswordVerdict> {
      if (user === "" || given === "") return { kind: "wrong" };
      const verdict = await world.turns.tryTake(() => binder.check(user.toLowerCase(), given));
      if (verdict === undefined) return { kind: "failed", text: "too many password checks wait" };
      return verdict.kind === "right" ? { kind: "right", account: user.toLowerCase() } : verdict;
    },
    close: () => binder.close(),
  };
}
