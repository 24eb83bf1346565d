import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import type { Settings, WrittenSettings } from "./settings.ts";

type Wanted = Pick<Settings | WrittenSettings, "local" | "mailbox" | "actions">;

/** Whose rights deliveries have that say nothing else. */
export function userOfDeliveries({ local, mailbox }: Pick<Wanted, "local" | "mailbox">): string {
  return mailbox.user ?? (isSystemUsers(local.users) ? "recipient" : "server");
}

/** The tables that deliveries ask who a recipient is, and whether as a user of this host. */
export function tablesOfDeliveries({ users, virtual }: Wanted["local"]): ReadonlySet<string> {
  const named = [...(isSystemUsers(users) ? [] : [users]), ...virtual.map(({ domains }) => domains)];
  return new Set(named.flatMap((each) => (each?.kind === "table" ? [each.name] : [])));
}

/**
 * Whether anything is delivered with others' rights than the server's own: then the delivery process is started by root.
 * Aliases run commands and write to files as other users, too.
 */
export function deliversAsOthers(settings: Wanted): boolean {
  const { local, actions } = settings;
  if (userOfDeliveries(settings) !== "server") return true;
  if (local.aliases !== undefined || local.virtual.some(({ aliases }) => aliases !== undefined)) return true;
  return Object.values(actions).some(
    (action) => action.kind === "deliver" && (action.as === "command" || (action.user ?? "server") !== "server"),
  );
}
