import { HOME } from "../../mail/delivery/mailbox/path-template.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { deliversAsOthers, userOfDeliveries } from "../settings/delivers-as-others.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface UsersProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity?: "error" | "warning" | undefined;
}

/** What is wrong with the settings about whose rights deliveries have. `isRoot`: the server is started by root. */
export function usersProblems(settings: WrittenSettings, isRoot: boolean): readonly UsersProblem[] {
  const { local, mailbox } = settings;
  const problems: UsersProblem[] = [];
  const knowsMore = isSystemUsers(local.users) || local.users?.kind === "table";
  const wanting: SettingPath[] = [
    ...(mailbox.user === "recipient" ? [["mailbox", "user"]] : []),
    ...Object.entries(settings.actions).flatMap(([name, action]) =>
      action.kind === "deliver" && action.user === "recipient" ? [["actions", name, "user"]] : [],
    ),
  ];
  if (!knowsMore)
    for (const path of wanting)
      problems.push({
        path,
        text: "nobody knows the recipients' uids: set `local.users` to system, or to a table with uid:gid:home",
      });
  if (userOfDeliveries(settings) === "recipient")
    for (const [at, { users, action }] of local.virtual.entries()) {
      if (users === undefined) continue;
      if (action === undefined)
        problems.push({
          path: ["local", "virtual", at, "users"],
          text: "these users are nobody of this host, and the actions for users of this host are not for them: give the domains an `action` of their own",
        });
      else if (isSystemUsers(local.users) && isAtHome(settings, action))
        problems.push({
          path: ["local", "virtual", at, "action"],
          text: `${action} delivers to {home}, and nobody in a virtual domain has a home on this host: write a path without it, or \`user\` at the action`,
        });
    }
  if (!deliversAsOthers(settings)) return problems;
  if (!isRoot) {
    const user = userOfDeliveries(settings);
    if (user !== "server")
      problems.push({
        path: mailbox.user === undefined ? ["local", "users"] : ["mailbox", "user"],
        text: `mail is delivered as ${user === "recipient" ? "its recipients" : user}, which takes a server that root started; started by somebody else it waits, but for that user's own`,
        severity: "warning",
      });
  } else if (local.defaultUser === settings.user)
    problems.push({
      path: ["local", "defaultUser"],
      text: `${local.defaultUser} is the server's own user: commands of aliases are not run as the queue's owner; set another one here, or \`user\``,
      severity: "warning",
    });
  return problems;
}

/** The mailbox that an action means is in the home of whose it is, which nothing but `local.users` can tell. */
function isAtHome({ actions, mailbox }: WrittenSettings, name: string): boolean {
  const action = actions[name];
  if (action?.kind !== "deliver" || action.user !== undefined) return false;
  if (action.as !== "maildir" && action.as !== "mbox") return false;
  return (action.path ?? mailbox[action.as])?.startsWith(HOME) === true;
}
