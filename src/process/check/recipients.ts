import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { MailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import type { Action } from "../../mail/envelope/action-settings.ts";
import type { LocalSettings } from "../../mail/envelope/settings.ts";
import type { SettingPath } from "../../service/config/config.ts";
import type { TableOrList } from "../../service/config/kinds.ts";
import type { WrittenSettings } from "../settings/settings.ts";

/** Which names the settings of recipients mention, for whoever knows what there is. */
export interface RecipientNames {
  readonly table: (name: string, path: SettingPath) => void;
  readonly action: (name: string, path: SettingPath) => void;
}

export interface RecipientProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/** What aliases, virtual domains and the tables of actions say that cannot be meant so. */
export function recipientProblems(
  { local, actions, mailbox }: Pick<WrittenSettings, "local" | "actions" | "mailbox">,
  names: RecipientNames,
): readonly RecipientProblem[] {
  const problems: RecipientProblem[] = [];
  const list = (setting: TableOrList | undefined, path: SettingPath): void => {
    if (setting?.kind === "table") names.table(setting.name, path);
  };
  const tables = (named: readonly string[] | undefined, path: SettingPath): void => {
    for (const [at, name] of (named ?? []).entries()) names.table(name, named?.length === 1 ? path : [...path, at]);
  };
  const all: Readonly<Record<string, Action>> = { ...ownActions, ...actions };
  tables(local.aliases, ["local", "aliases"]);
  for (const [at, entry] of local.virtual.entries()) {
    const path = ["local", "virtual", at];
    list(entry.domains, [...path, "domains"]);
    tables(entry.aliases, [...path, "aliases"]);
    list(entry.users, [...path, "users"]);
    if (entry.action !== undefined) names.action(entry.action, [...path, "action"]);
    if (entry.aliases === undefined && entry.users === undefined)
      problems.push({ path, text: "nobody can be there: expected aliases, users or both", severity: "error" });
    const action = all[entry.action ?? "deliver"];
    if (entry.users !== undefined && action !== undefined && !tellsDomainsApart(action, mailbox))
      problems.push({
        path: entry.action === undefined ? [...path, "users"] : [...path, "action"],
        text: `mail for a user there and for the user of that name of another domain would be in one mailbox: the path of action ${entry.action ?? "deliver"} names neither {domain} nor {recipient}`,
        severity: "error",
      });
  }
  for (const [name, action] of Object.entries(actions))
    tables(action.book?.tables, ["actions", name, action.book?.kind === "virtual" ? "virtual" : "aliases"]);
  if (local.includeFolders !== undefined && !mayInclude(local))
    problems.push({
      path: ["local", "includeFolders"],
      text: "no aliases may include lists: see includes-from",
      severity: "warning",
    });
  return problems;
}

function tellsDomainsApart(action: Action, mailbox: MailboxSettings): boolean {
  if (action.kind !== "deliver" || (action.as !== "maildir" && action.as !== "mbox")) return true;
  const template = action.path ?? mailbox[action.as];
  if (template !== undefined) return /\{(?:domain|recipient)\}/.test(template);
  // One user who owns all mailboxes keeps them by domain.
  const owner = action.user ?? mailbox.user;
  return owner !== undefined && owner !== "recipient" && owner !== "server";
}

function mayInclude({ includesFrom }: LocalSettings): boolean {
  return includesFrom.some((origin) => origin !== "forward");
}
