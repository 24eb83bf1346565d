import { type Action } from "../mail/envelope/action-settings.ts";
import { isSystemUsers } from "../mail/envelope/system-users.ts";
import type { Settings, WrittenSettings } from "./settings.ts";

type Wanted = Pick<Settings | WrittenSettings, "local" | "mailbox" | "actions">;

/** Whose rights deliveries have that say nothing else. */
export function userOfDeliveries({ local, mailbox }: Pick<Wanted, "local" | "mailbox">): string {
  return mailbox.user ?? (isSystemUsers(local.users) ? "recipient" : "server");
}

/**
 * The actions as deliveries have them. Who has a mailbox in a virtual domain is no user of this host, whatever his name is:
 * where deliveries are as their recipients, those by an action of a virtual domain are the server's own instead, unless it
 * says otherwise.
 */
export function actionsOfDeliveries(settings: Wanted): (name: string) => Action | undefined {
  const { local, actions } = settings;
  const isAsRecipients = userOfDeliveries(settings) === "recipient";
  const ofVirtual = new Set(local.virtual.flatMap(({ users, action }) => (users === undefined ? [] : (action ?? []))));
  return (name) => {
    const action = actions[name];
    if (action?.kind !== "deliver" || !isAsRecipients || !ofVirtual.has(name)) return action;
    return { ...action, user: action.user ?? "server" };
  };
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
