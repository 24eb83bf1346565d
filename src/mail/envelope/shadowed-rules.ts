import { networkContainsBytes } from "../../service/table/network.ts";
import { patternMatches, type Pattern } from "../../service/table/pattern.ts";
import type { Condition } from "./condition.ts";
import { WHO } from "./match.ts";
import type { Actions } from "./action-settings.ts";
import type { Match, Rule } from "./rule-settings.ts";

/**
 * Rules that no mail can reach, for one in front of them matches all that they match. What is found is so; not all that is so is
 * found: each rule is held against single ones, condition by condition, and what is in tables is not known.
 */
export function shadowedRules(
  rules: readonly Rule[],
  actions: Actions,
): readonly { readonly rule: number; readonly by: number }[] {
  return rules.flatMap((rule, at) => {
    const by = rules.findIndex((earlier, before) => before < at && shadows(earlier, rule, actions));
    return by < 0 ? [] : [{ rule: at, by }];
  });
}

function shadows(earlier: Rule, later: Rule, actions: Actions): boolean {
  // Mail of our own passes rules about who gives it, but for those that refuse: such a rule in front lets it through.
  const refuses = (rule: Rule): boolean => actions[rule.action]?.kind === "reject";
  if (refuses(earlier) && !refuses(later) && asksWho(earlier.match)) return false;
  return covers(earlier.match, later.match);
}

function asksWho({ not, ...wanted }: Match): boolean {
  return [...namesIn(wanted), ...namesIn(not ?? {})].some((name) => WHO.has(name));
}

type Parts = Omit<Match, "not">;
type Name = keyof Parts;

/** Whether `wide` holds wherever `narrow` does. */
function covers(wide: Match, narrow: Match): boolean {
  const { not: wideNot = {}, ...wanted } = wide;
  const { not: narrowNot = {}, ...given } = narrow;
  return (
    namesIn(wanted).every((name) => partCovers(name, wanted, given, narrowNot)) &&
    // What must not hold of the wide one must not hold of the narrow one either.
    namesIn(wideNot).every((name) => {
      const own = wideNot[name];
      if (typeof own === "boolean") return narrowNot[name] === own || given[name] === !own;
      return narrowNot[name] !== undefined && partCovers(name, narrowNot, wideNot, {});
    })
  );
}

/** What is always there, so that `any` of it holds of everything. */
const ALWAYS: ReadonlySet<Name> = new Set(["from", "for", "rcptTo", "mailFrom", "listener"]);

/** Whether `wide` at `name` holds wherever `narrow` at `name` does and `excluded` at `name` does not. */
function partCovers(name: Name, wide: Parts, narrow: Parts, excluded: Parts): boolean {
  const own = wide[name];
  const other = narrow[name];
  if (typeof own === "boolean") return other === own || excluded[name] === !own;
  if (own === undefined) return true;
  const list = Array.isArray(other) ? conditionsIn(other) : undefined;
  const wanted = conditionsIn(own).filter(({ isNegated }) => !isNegated);
  const forbidden = conditionsIn(own).filter(({ isNegated }) => isNegated);
  if (list === undefined && !(ALWAYS.has(name) && wanted.some(isAny))) return false;
  const given = (list ?? []).filter(({ isNegated }) => !isNegated);
  const holds =
    wanted.length === 0 ||
    wanted.some(isAny) ||
    (given.length > 0 && given.every((one) => wanted.some((wider) => conditionCovers(wider, one))));
  const without = [...(list ?? []).filter(({ isNegated }) => isNegated), ...excludedIn(excluded[name])];
  return holds && forbidden.every((one) => without.some((wider) => conditionCovers(wider, one)));
}

/** What a block `not` excludes for sure: of a list with negated ones nobody can say it by looking at one alone. */
function excludedIn(part: Parts[Name]): readonly Condition[] {
  const list = Array.isArray(part) ? conditionsIn(part) : [];
  return list.some(({ isNegated }) => isNegated) ? [] : list;
}

function isAny(condition: Condition): boolean {
  return condition.kind === "any" || (condition.kind === "pattern" && condition.pattern.kind === "all");
}

/** Whether one condition, negated or not being looked at by the caller, holds wherever the other does. */
function conditionCovers(wide: Condition, narrow: Condition): boolean {
  if (isAny(wide)) return true;
  if (wide.kind === "pattern" && narrow.kind === "pattern") return patternCovers(wide.pattern, narrow.pattern);
  if (wide.kind === "network" && narrow.kind === "network")
    return wide.network.bits <= narrow.network.bits && networkContainsBytes(wide.network, narrow.network.bytes);
  if (wide.kind === "table" && narrow.kind === "table") return wide.name === narrow.name;
  return wide.kind === narrow.kind && wide.kind !== "pattern" && wide.kind !== "network" && wide.kind !== "table";
}

function patternCovers(wide: Pattern, narrow: Pattern): boolean {
  if (wide.kind === "all") return true;
  if (narrow.kind === "all") return false;
  if (narrow.kind === "below")
    return wide.kind === "below" && (narrow.domain === wide.domain || narrow.domain.endsWith(`.${wide.domain}`));
  // All addresses of a domain are in what has the domain itself.
  const domain = narrow.key.startsWith("@") ? narrow.key.slice(1) : narrow.key;
  return patternMatches(wide, narrow.key) || patternMatches(wide, domain);
}

function namesIn(parts: Parts): readonly Name[] {
  // The keys are those of the type, which Object.keys forgets.
  return (Object.keys(parts) as Name[]).filter((name) => parts[name] !== undefined);
}

function conditionsIn(list: NonNullable<Exclude<Parts[Name], boolean>>): readonly Condition[] {
  return list;
}
