import { isIP } from "node:net";
import type { Source, SourceChoice } from "../../mail/envelope/source.ts";
import { parseShapingPattern, type ShapingRule } from "../../mail/route/shaping.ts";
import { parseShapingRule, shapingEntryProblem } from "../../mail/route/shaping-text.ts";
import type { Place, SettingPath, SettingsProblem } from "../../service/config/config.ts";
import { nearestName } from "../../service/config/names.ts";
import type { ParsedSettings } from "../../service/config/parse.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import { parseTableText } from "../../service/table/text.ts";
import type { WrittenSettings } from "../settings/settings.ts";

type Rules = Readonly<Record<string, ShapingRule>>;

/** The rules of shaping with those of their table: of the same pattern in both places, the settings' is taken. */
export interface WholeShaping {
  readonly rules: Rules;
  /** Where the table has each value. */
  readonly places: Readonly<Record<string, Place>>;
  readonly problems: readonly SettingsProblem[];
}

export function shapingWithTable(
  parsed: ParsedSettings<WrittenSettings>,
  tableTexts: Readonly<Record<string, string>>,
): WholeShaping {
  const { shaping, shapingTable } = parsed.settings.route;
  const none: WholeShaping = { rules: shaping, places: {}, problems: [] };
  if (shapingTable === undefined) return none;
  const { tables } = parsed.settings;
  const source = Object.hasOwn(tables, shapingTable) ? tables[shapingTable] : undefined;
  if (source === undefined) {
    const names = Object.keys(tables);
    const nearest = nearestName(shapingTable, names);
    const hint =
      nearest !== undefined ? `; did you mean ${nearest}?` : names.length > 0 ? `; there are: ${names.join(", ")}` : "";
    return {
      ...none,
      problems: [parsed.problemAt(["route", "shapingTable"], `there is no table ${shapingTable}${hint}`)],
    };
  }
  if (isBackendSource(source) || (source.kind === "file" && source.syntax !== undefined))
    return {
      ...none,
      problems: [
        parsed.problemAt(
          ["route", "shapingTable"],
          `table ${shapingTable} is no list, map or file: the rules are read as a whole, with the settings`,
        ),
      ],
    };
  const entries: readonly Entry[] =
    source.kind === "file"
      ? parseTableText(tableTexts[shapingTable] ?? "").entries.map(({ line, key, value }) => ({
          key,
          value,
          place: { line, column: 1, file: source.file },
        }))
      : source.kind === "map"
        ? Object.entries(source.entries).map(([key, value]) =>
            inPlace(parsed, ["tables", shapingTable, "map", key], key, value),
          )
        : source.items.map((key, at) => inPlace(parsed, ["tables", shapingTable, "list", at], key, undefined));

  const rules: Record<string, ShapingRule> = { ...shaping };
  const places: Record<string, Place> = {};
  const problems: SettingsProblem[] = [];
  const seen = new Map<string, string>(Object.keys(shaping).map((written) => [meaningOf(written), ""]));
  for (const { key, value, place, problem } of entries) {
    const earlier = seen.get(meaningOf(key));
    const text =
      shapingEntryProblem(key, value) ??
      (earlier === undefined || earlier === "" ? undefined : `means the same as ${earlier}, which stands above`);
    if (text !== undefined)
      problems.push(
        problem?.(text) ?? {
          file: place.file ?? parsed.origins.file ?? "defaults",
          place,
          path: "",
          text,
          severity: "error",
        },
      );
    const rule = parseShapingRule(value ?? "");
    if (text !== undefined || earlier !== undefined || !rule.ok) continue;
    seen.set(meaningOf(key), key);
    rules[key] = rule.value;
    for (const name of Object.keys(rule.value)) places[["route", "shaping", key, name].join(".")] = place;
    for (const name of Object.keys(rule.value.together ?? {}))
      places[["route", "shaping", key, "together", name].join(".")] = place;
  }
  return { rules, places, problems };
}

interface Entry {
  readonly key: string;
  readonly value: string | undefined;
  readonly place: Place;
  readonly problem?: (text: string) => SettingsProblem;
}

function inPlace(
  parsed: ParsedSettings<WrittenSettings>,
  path: SettingPath,
  key: string,
  value: string | undefined,
): Entry {
  const problem = (text: string): SettingsProblem => parsed.problemAt(path, text);
  return { key, value, place: problem("").place ?? { line: 0, column: 0 }, problem };
}

function meaningOf(written: string): string {
  const pattern = parseShapingPattern(written);
  return pattern.ok ? `${pattern.value.of} ${pattern.value.key}` : written;
}

/** What is wrong with the addresses that connections come from. `own`: this machine's, as `192.0.2.1/24`. */
export function checkRoutes(
  parsed: ParsedSettings<WrittenSettings>,
  rules: Rules,
  own: readonly string[],
): readonly SettingsProblem[] {
  const { route, actions } = parsed.settings;
  const problems: SettingsProblem[] = [];
  const seen = new Map<string, { readonly source: Source; readonly where: string }>();
  const tell = (path: SettingPath, text: string, severity?: "error" | "warning"): void => {
    problems.push(parsed.problemAt(path, text, severity));
  };

  const checkList = (list: readonly Source[], path: SettingPath, isSingle = false): void => {
    const inThisList = new Set<string>();
    for (const [at, source] of list.entries()) {
      const where = isSingle ? path : [...path, at];
      const { address } = source;
      if (inThisList.has(address)) tell(where, `${address} is in this list already`);
      inThisList.add(address);
      if (!isOwn(address, own))
        tell(where, `${address} is no address of this machine now: nothing can come from it`, "warning");
      const earlier = seen.get(address);
      if (earlier === undefined) seen.set(address, { source, where: where.join(".") });
      else if (hasTerms(source) && hasTerms(earlier.source) && termsOf(source) !== termsOf(earlier.source))
        tell(where, `${address} has other limits at ${earlier.where}: an address has the same ones wherever it stands`);
    }
  };
  const checkChoice = (choice: SourceChoice | undefined, path: SettingPath): void => {
    if (choice === undefined) return;
    if (!("pool" in choice)) {
      checkList(choice, path, choice.length === 1);
      return;
    }
    if (Object.hasOwn(route.pools, choice.pool)) return;
    const names = Object.keys(route.pools);
    const nearest = nearestName(choice.pool, names);
    const hint =
      nearest !== undefined ? `; did you mean ${nearest}?` : names.length > 0 ? `; there are: ${names.join(", ")}` : "";
    tell(path, `there is no pool ${choice.pool} in route.pools${hint}`);
  };

  checkList(route.sources ?? [], ["route", "sources"]);
  for (const [name, list] of Object.entries(route.pools)) checkList(list, ["route", "pools", name]);
  for (const [written, { sources }] of Object.entries(rules))
    checkChoice(
      sources,
      Object.hasOwn(route.shaping, written) ? ["route", "shaping", written, "sources"] : ["route", "shapingTable"],
    );
  for (const [name, action] of Object.entries(actions))
    if (action.kind === "relay") checkChoice(action.sources, ["actions", name, "relay", "sources"]);
  return problems;
}

/** All of 127.0.0.0/8 is, where its loopback is. */
function isOwn(address: string, own: readonly string[]): boolean {
  const isLoopback = (one: string): boolean => isIP(one) === 4 && one.startsWith("127.");
  return own.some((one) => {
    const [plain = ""] = one.split("/");
    return plain.toLowerCase() === address.toLowerCase() || (isLoopback(plain) && isLoopback(address));
  });
}

function hasTerms({ connections, rate, connectionRate, helo }: Source): boolean {
  return [connections, rate, connectionRate, helo].some((one) => one !== undefined);
}

function termsOf({ connections, rate, connectionRate, helo }: Source): string {
  return JSON.stringify([connections, rate, connectionRate, helo]);
}
