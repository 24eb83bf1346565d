import type { Condition } from "../../mail/envelope/condition.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { Check, RestrictionSettings } from "../../mail/envelope/restrictions/settings.ts";
import { stagesOf } from "../../mail/envelope/restrictions/stages-of.ts";
import { authOf } from "../../mail/connection/listener-choices.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { restrictionsAt } from "../settings/restrictions-at.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface RestrictionProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/** Tables that are not there are told to `table`; what comes back: actions that are none, entries that are never asked, users who are. */
export function restrictionProblems(
  settings: Pick<WrittenSettings, "restrictions" | "listeners" | "actions">,
  table: (name: string, path: SettingPath) => void,
): readonly RestrictionProblem[] {
  const actions = new Set([...Object.keys(ownActions), ...Object.keys(settings.actions)]);
  const problems: RestrictionProblem[] = [];
  const lists: (readonly [readonly RestrictionSettings[], SettingPath])[] = [
    [settings.restrictions, ["restrictions"]],
    ...settings.listeners.flatMap(({ restrictions }, at) =>
      restrictions === undefined ? [] : [[restrictions, ["listeners", at, "restrictions"]] as const],
    ),
  ];
  for (const [entries, path] of lists) {
    for (const [at, entry] of entries.entries())
      for (const { name, place } of tablesOf(entry)) table(name, [...path, at, ...place]);
    for (const [at, { policy }] of entries.entries())
      for (const [words, action] of Object.entries(policy?.filters ?? {}))
        if (!actions.has(action))
          problems.push({
            path: [...path, at, "policy", "filters", words],
            text: `there is no action ${action}`,
            severity: "error",
          });
    for (const [at, { dnsLists }] of entries.entries()) {
      if (dnsLists === undefined) continue;
      const most = dnsLists.lists.reduce((sum, { weight }) => sum + Math.max(0, weight), 0);
      const least = dnsLists.defer ?? dnsLists.reject;
      if (most < least)
        problems.push({
          path: [...path, at, "dnsLists"],
          text: `never refuses anything: the weights of all its lists come to ${most}, and it wants ${least}`,
          severity: "warning",
        });
    }
    const last = entries.findIndex((entry) => !entry.warnOnly && isForAll(entry));
    const closing = entries[last];
    if (closing === undefined || !hidesSomething(closing, entries.slice(last + 1))) continue;
    problems.push({
      path: [...path, last],
      text: `${closing.permit === undefined ? "refuses" : "permits"} everybody: the restrictions behind it are never asked`,
      severity: "warning",
    });
  }
  for (const [at, listener] of settings.listeners.entries()) {
    if (authOf(listener) === "off") continue;
    const entries = restrictionsAt(settings, listener);
    if (entries.every(isForLogins) || entries.some(permitsLogins)) continue;
    problems.push({
      path: listener.restrictions === undefined ? ["listeners", at] : ["listeners", at, "restrictions"],
      text: "restrictions are asked of clients that have logged in, too: put `permit: auth` in front of them, or `restrictions: []` here",
      severity: "warning",
    });
  }
  return problems;
}

/** Of those behind, one whose stages it all closes. */
function hidesSomething(closing: RestrictionSettings, behind: readonly RestrictionSettings[]): boolean {
  const closed = new Set(stagesOf(closing));
  return behind.some((entry) => stagesOf(entry).every((stage) => closed.has(stage)));
}

/** What is meant for users, or lets them pass by itself. */
function isForLogins({ rate, greylist }: RestrictionSettings): boolean {
  return greylist !== undefined || rate?.by.includes("account") === true;
}

function permitsLogins({ permit }: RestrictionSettings): boolean {
  return permit?.some(({ kind, isNegated }) => !isNegated && (kind === "auth" || kind === "any")) === true;
}

function isForAll({ permit, reject }: RestrictionSettings): boolean {
  const from = permit ?? reject;
  return from !== undefined && from.length > 0 && isAnybody(from);
}

function isAnybody(from: readonly Condition[]): boolean {
  return from.some(({ kind, isNegated }) => kind === "any" && !isNegated) && from.every(({ isNegated }) => !isNegated);
}

function tablesOf(entry: RestrictionSettings): readonly { readonly name: string; readonly place: SettingPath }[] {
  const { permit, reject, clientName, helo, sender, recipient } = entry;
  const lists: Readonly<Record<string, readonly (Condition | Check<string>)[] | undefined>> = {
    permit,
    reject,
    clientName,
    helo,
    sender,
    recipient,
  };
  return Object.entries(lists).flatMap(([kind, list = []]) =>
    list.flatMap((one, at) =>
      one.kind === "table" ? [{ name: one.name, place: list.length === 1 ? [kind] : [kind, at] }] : [],
    ),
  );
}
