import { chainProblems, unchained } from "../../mail/filter/named-chains.ts";
import type { Condition } from "../../mail/envelope/condition.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { filtersInUse } from "../role/filtering.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface FilterProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/** Names that nobody defined are told to `known`; what comes back are chains that make no sense, and filters that nobody asks. */
export function filterProblems(
  settings: Pick<WrittenSettings, "filters" | "filteredBy" | "listeners">,
  known: {
    readonly filter: (name: string, path: SettingPath) => void;
    readonly table: (name: string, path: SettingPath) => void;
    readonly action: (name: string, path: SettingPath) => void;
  },
): readonly FilterProblem[] {
  const { filters, filteredBy, listeners } = settings;
  for (const [at, name] of filteredBy.entries()) known.filter(name, ["filteredBy", at]);
  for (const [place, listener] of listeners.entries())
    for (const [at, name] of (listener.filteredBy ?? []).entries())
      known.filter(name, ["listeners", place, "filteredBy", at]);
  for (const [name, { match, builtin, rspamd, spamc }] of Object.entries(filters)) {
    for (const [kind, action] of Object.entries({ rspamd: rspamd?.action, spamc: spamc?.action }))
      if (action !== undefined) known.action(action, ["filters", name, kind, "action"]);
    tablesIn({ ...match }, ["filters", name, "match"], known.table);
    tablesIn({ ...builtin?.match }, ["filters", name, "builtin", "match"], known.table);
  }
  const problems: FilterProblem[] = chainProblems(filters).map(({ path, text }) => ({
    path: [...path],
    text,
    severity: "error",
  }));
  const used = new Set(filtersInUse(settings));
  for (const [name, { chain }] of Object.entries(filters))
    if (chain === undefined && !used.has(name))
      problems.push({
        path: ["filters", name],
        text: "this filter is never asked: no `filtered-by` names it",
        severity: "warning",
      });
  problems.push(...behindProxies(filters, filteredBy, ["filteredBy"]));
  for (const [place, listener] of listeners.entries())
    if (listener.filteredBy !== undefined)
      problems.push(...behindProxies(filters, listener.filteredBy, ["listeners", place, "filteredBy"]));
  return problems;
}

/** What a proxy for all mail passes on, no filter behind it sees. */
function behindProxies(
  filters: WrittenSettings["filters"],
  names: readonly string[],
  path: SettingPath,
): readonly FilterProblem[] {
  const order = unchained(names, filters);
  const at = order.findIndex((name) => {
    const { smtpProxy, match, maxSize } = filters[name] ?? {};
    return smtpProxy !== undefined && match === undefined && maxSize === 0;
  });
  const behind = at < 0 ? [] : order.slice(at + 1);
  return behind.map((name) => ({
    path,
    text: `${name} is not shown the mail that ${order[at]}, in front of it, passes on: ask it before ${order[at]}, or at the listener behind it`,
    severity: "warning",
  }));
}

/** The tables that a match names, also under `not`. */
function tablesIn(match: object, path: SettingPath, known: (name: string, path: SettingPath) => void): void {
  for (const [name, given] of Object.entries(match)) {
    if (name === "not") tablesIn({ ...given }, [...path, name], known);
    for (const [at, one] of conditionsIn(given).entries())
      if (one.kind === "table") known(one.name, [...path, name, at]);
  }
}

/** Each list in a match is one of conditions; Object.entries forgets that. */
function conditionsIn(given: unknown): readonly Condition[] {
  return Array.isArray(given) ? (given as readonly Condition[]) : [];
}
