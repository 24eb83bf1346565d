import type { Condition } from "../mail/envelope/condition.ts";
import { ownActions } from "../mail/envelope/default-rules.ts";
import type { Match } from "../mail/envelope/rule-settings.ts";
import { shadowedRules } from "../mail/envelope/shadowed-rules.ts";
import { JUNK } from "../mail/filter/opensmtpd/junk-mark.ts";
import type { FilterKind } from "../mail/filter/filter-kind.ts";
import { kindOf } from "../mail/filter/filter-kind.ts";
import type { SettingPath } from "../service/config/config.ts";
import { filtersInUse } from "./filtering.ts";
import { LOCAL_LISTENER } from "./local-users.ts";
import type { WrittenSettings } from "./settings.ts";

export interface RuleProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/** Rules that are never reached, that share a name, or ask for listeners and tags that there are not. */
export function ruleProblems(
  settings: Pick<WrittenSettings, "rules" | "actions" | "listeners" | "filters" | "filteredBy">,
): readonly RuleProblem[] {
  const { rules = [], actions } = settings;
  const problems: RuleProblem[] = [];
  const tell = (path: SettingPath, text: string, severity: RuleProblem["severity"] = "warning"): void =>
    void problems.push({ path, text, severity });

  const named = new Map<string, number>();
  for (const [at, { name, match }] of rules.entries()) {
    const earlier = name === undefined ? undefined : named.get(name);
    if (earlier !== undefined) tell(["rules", at, "name"], `rules[${earlier}] has this name already`, "error");
    else if (name !== undefined) named.set(name, at);
    if (matchesAll(match) && at < rules.length - 1)
      tell(["rules", at], "matches everything: the rules behind it are never reached");
  }
  for (const { rule, by } of shadowedRules(rules, { ...ownActions, ...actions })) {
    const before = rules[by];
    // Told already, once for all of them.
    if (before === undefined || matchesAll(before.match)) continue;
    const which = before.name === undefined ? `rules[${by}]` : `rules[${by}] (${before.name})`;
    tell(["rules", rule], `is never reached: ${which} in front of it matches all that this one does`);
  }

  const listeners = new Set([LOCAL_LISTENER, ...settings.listeners.map(({ name }) => name.toLowerCase())]);
  const tags = tagsGiven(settings);
  for (const [at, { match }] of rules.entries())
    for (const [path, part] of [
      [["rules", at, "match"], match],
      [["rules", at, "match", "not"], match.not ?? {}],
    ] as const) {
      for (const [place, name] of namesIn(part.listener))
        if (!listeners.has(name)) tell([...path, "listener", place], `there is no listener ${name}`);
      for (const [place, name] of namesIn(part.tag))
        if (tags !== "any" && !tags.has(name))
          tell([...path, "tag", place], `nothing has the tag ${name}: no listener, and no filter that is asked`);
    }
  return problems;
}

function matchesAll(match: Match): boolean {
  return Object.values(match).every((part) => part === undefined);
}

/** Which tags there can be, folded as conditions are; filters that say what they like can give any. */
function tagsGiven(
  settings: Pick<WrittenSettings, "listeners" | "filters" | "filteredBy">,
): ReadonlySet<string> | "any" {
  const tags = new Set(settings.listeners.flatMap(({ tag }) => tag?.toLowerCase() ?? []));
  for (const name of filtersInUse(settings)) {
    const filter = settings.filters[name];
    const kind = filter === undefined ? undefined : kindOf(filter);
    const own = kind === undefined ? [] : OWN_TAGS[kind];
    if (own === undefined) return "any";
    for (const tag of own) tags.add(tag);
  }
  return tags;
}

/** The tags of kinds of filter that give always the same. */
const OWN_TAGS: Partial<Readonly<Record<FilterKind, readonly string[]>>> = {
  process: [JUNK],
  builtin: [JUNK],
  chain: [],
};

/** The plain names among conditions, and where they stand. */
function namesIn(conditions: readonly Condition[] | undefined): readonly (readonly [number, string])[] {
  return [...(conditions ?? []).entries()].flatMap(([at, condition]) =>
    condition.kind === "pattern" && condition.pattern.kind === "exact" ? [[at, condition.pattern.key] as const] : [],
  );
}
