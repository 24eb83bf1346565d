import type { Condition } from "../../mail/envelope/condition.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { Match, SessionMatch } from "../../mail/envelope/rule-settings.ts";
import { shadowedRules } from "../../mail/envelope/shadowed-rules.ts";
import { JUNK } from "../../mail/filter/opensmtpd/junk-mark.ts";
import type { FilterKind } from "../../mail/filter/filter-kind.ts";
import { kindOf } from "../../mail/filter/filter-kind.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { filtersInUse } from "../role/filtering.ts";
import { LOCAL_LISTENER } from "../settings/local-users.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface RuleProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/** Rules that are never reached, or that share a name; rules and filters that ask for listeners and tags that there are not. */
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
  const isTag = tagsGiven(settings);
  // A name that is written wrong in a filter's match is worse than in a rule's: the filter would be asked by nobody.
  const matchesOf: readonly (readonly [SettingPath, Match | SessionMatch | undefined])[] = [
    ...rules.map(({ match }, at) => [["rules", at, "match"], match] as const),
    ...Object.entries(settings.filters).map(([name, { match }]) => [["filters", name, "match"], match] as const),
  ];
  for (const [where, match] of matchesOf)
    for (const [path, part] of [
      [where, match ?? {}],
      [[...where, "not"], match?.not ?? {}],
    ] as const) {
      for (const [place, name] of namesIn(part.listener))
        if (!listeners.has(name)) tell([...path, "listener", place], `there is no listener ${name}`);
      for (const [place, name] of namesIn(part.tag))
        if (!isTag(name))
          tell([...path, "tag", place], `nothing has the tag ${name}: no listener, and no filter that is asked`);
    }
  return problems;
}

function matchesAll(match: Match): boolean {
  return Object.values(match).every((part) => part === undefined);
}

/** Whether there can be such a tag, folded as conditions are. */
function tagsGiven(settings: Pick<WrittenSettings, "listeners" | "filters" | "filteredBy">): (tag: string) => boolean {
  const ofListeners = new Set(settings.listeners.flatMap(({ tag }) => tag?.toLowerCase() ?? []));
  const used = filtersInUse(settings).flatMap((name) => {
    const filter = settings.filters[name];
    return filter === undefined ? [] : (kindOf(filter) ?? []);
  });
  return (tag) => ofListeners.has(tag) || used.some((kind) => TAGS_OF[kind].test(tag));
}

const ANY = /^/;
const NONE = /(?!)/;
const SPAM = /^spam$/;

/** The tags that filters of each kind give; some give what they like. */
const TAGS_OF: Readonly<Record<FilterKind, RegExp>> = {
  authenticate:
    /^(?:(?:spf|spf-helo|dkim|dmarc|arc)=(?:none|neutral|pass|fail|softfail|policy|temperror|permerror)|dmarc-arc=pass)$/,
  sign: /^signed=/,
  rspamd: SPAM,
  spamc: SPAM,
  process: new RegExp(`^${JUNK}$`),
  builtin: new RegExp(`^${JUNK}$`),
  module: ANY,
  hooks: ANY,
  http: ANY,
  milter: NONE,
  clamd: NONE,
  smtpProxy: NONE,
  chain: NONE,
};

/** The plain names among conditions, and where they stand. */
function namesIn(conditions: readonly Condition[] | undefined): readonly (readonly [number, string])[] {
  return [...(conditions ?? []).entries()].flatMap(([at, condition]) =>
    condition.kind === "pattern" && condition.pattern.kind === "exact" ? [[at, condition.pattern.key] as const] : [],
  );
}
