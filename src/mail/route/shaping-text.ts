import { ok, refused, type Result } from "../../foundation/result.ts";
import { camelCase, kebabCase, nearestName } from "../../service/config/names.ts";
import { shapingRule } from "./shaping-settings.ts";
import { parseShapingPattern, ruleProblem, type ShapingRule } from "./shaping.ts";

/**
 * A rule of shaping on one line of a table: `connections=2 rate=100/min together.rate=500/min sources=pool:bulk`. The names
 * are those of the settings; several addresses stand behind `sources=`, separated by commas, and so do the waits behind `retry=`.
 */
export function parseShapingRule(text: string): Result<ShapingRule, string> {
  const written: Record<string, unknown> = {};
  const together: Record<string, unknown> = {};
  for (const part of text.split(/\s+/).filter((one) => one !== "")) {
    const [, name = "", value = ""] = /^([A-Za-z.-]+)=(.+)$/.exec(part) ?? [];
    if (name === "") return refused(`expected name=value, got ${JSON.stringify(part.slice(0, 80))}`);
    const inGroup = /^together\.(.+)$/.exec(name)?.[1];
    const key = camelCase(inGroup ?? name);
    const into = inGroup === undefined ? written : together;
    if (key === "together" || !Object.hasOwn(inGroup === undefined ? NAMES : GROUP_NAMES, key)) {
      const nearest = nearestName(name, Object.keys(NAMES));
      return refused(`unknown name ${name}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`);
    }
    if (Object.hasOwn(into, key)) return refused(`${name} is written twice`);
    into[key] = valueOf(key, value);
  }
  if (Object.keys(together).length > 0) written["together"] = together;
  if (Object.keys(written).length === 0)
    return refused("says nothing: expected connections=2, rate=100/min or another limit");
  const parsed = shapingRule.safeParse(written);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  return refused(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not understood"}`.replace(/^: /, ""));
}

/** What is wrong with an entry of a table of rules; undefined when nothing is. */
export function shapingEntryProblem(key: string, value: string | undefined): string | undefined {
  const pattern = parseShapingPattern(key);
  if (!pattern.ok) return pattern.problem;
  if (value === undefined) return "expected limits behind the pattern, such as connections=2 rate=100/min";
  const rule = parseShapingRule(value);
  if (!rule.ok) return rule.problem;
  const problem = ruleProblem(pattern.value.of, rule.value);
  return problem === undefined ? undefined : `${kebabCase(problem.name)} ${problem.text}`;
}

const NAMES: Readonly<Record<string, unknown>> = shapingRule.shape;
const GROUP_NAMES: Readonly<Record<string, true>> = { connections: true, rate: true, connectionRate: true };

function valueOf(key: string, text: string): unknown {
  if (key === "retry") return { by: "list", waits: text.split(",") };
  if (key === "sources" && text.includes(",")) return text.split(",");
  return /^\d{1,9}$/.test(text) ? Number(text) : text;
}
