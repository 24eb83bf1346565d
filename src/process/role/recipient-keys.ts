import type { WhomParts } from "../../mail/delivery/mailbox/whom.ts";
import type { LocalSettings } from "../../mail/envelope/settings.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import { formatLocal } from "../../protocol/address/mailbox.ts";

/** What a recipient is called among the users, the best first. A name with an `@` in it is another's address. */
export function recipientKeys({ users }: Pick<LocalSettings, "users">): WhomParts["keysOf"] {
  if (isSystemUsers(users)) return ({ user }, isVirtual) => (isVirtual ? [] : [user]);
  return ({ user, domain }, isVirtual) => [
    ...(domain === "" ? [] : [`${formatLocal(user)}@${domain}`]),
    ...(isVirtual || user.includes("@") ? [] : [user]),
  ];
}
