import { isSystemUsers } from "../mail/envelope/system-users.ts";
import type { SettingPath } from "../service/config/config.ts";
import { deliversAsOthers, userOfDeliveries } from "./delivers-as-others.ts";
import type { WrittenSettings } from "./settings.ts";

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
    for (const [at, { users, action }] of local.virtual.entries())
      if (users !== undefined && action === undefined)
        problems.push({
          path: ["local", "virtual", at, "users"],
          text: "mail for these users would be delivered as users of this host that have the same names: give the domains an `action` of their own",
        });
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
