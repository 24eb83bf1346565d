import { RE2JS } from "re2js";
import { z } from "zod";
import { messageOf } from "../../../foundation/error.ts";
import { networkContains } from "../../../service/table/network.ts";
import { foldKey, patternMatches } from "../../../service/table/pattern.ts";
import type { Tables } from "../../../service/table/tables.ts";
import type { Condition } from "../../envelope/condition.ts";
import { member, type Holds } from "../../envelope/local-names.ts";

/** What a condition of a builtin filter can be besides those of rules: a regular expression, `/^ip-[0-9-]+\./`. */
export type TextCondition = Condition | RegexpCondition;

/** Plain data, as all settings are: they travel between processes. */
interface RegexpCondition {
  readonly isNegated: boolean;
  readonly kind: "regexp";
  readonly source: string;
}

/**
 * As `parse` reads it, or a regular expression between slashes, `!` in front of it all the same. Expressions are RE2's, so
 * that no client can make them slow; case does not matter.
 */
export function textCondition(parse: z.ZodType<Condition, string>, allowed: string): z.ZodType<TextCondition, string> {
  return z
    .string()
    .transform((written, context): TextCondition => {
      const [, bang = "", source] = /^(!?)\s*\/(.*)\/$/s.exec(written.trim()) ?? [];
      if (source !== undefined) {
        try {
          compile(source);
          return { isNegated: bang === "!", kind: "regexp", source };
        } catch (thrown) {
          context.addIssue({ code: "custom", message: `no regular expression: ${messageOf(thrown)}` });
          return z.NEVER;
        }
      }
      const parsed = parse.safeParse(written);
      if (parsed.success) return parsed.data;
      for (const { message } of parsed.error.issues) context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .meta({ kind: `${allowed}, or /a regular expression/` });
}

/**
 * Whether a list of conditions holds of something: one that is not negated (if there is such a one), and none that is
 * negated. Nothing holds of what is not there.
 */
export async function conditionsHold(
  conditions: readonly TextCondition[],
  subject: string | undefined,
  tables: Tables,
): Promise<Holds> {
  if (subject === undefined) return false;
  let holds = conditions.every(({ isNegated }) => isNegated);
  for (const condition of conditions) {
    if (holds && !condition.isNegated) continue;
    const one = await holdsOf(condition, subject, tables);
    if (typeof one !== "boolean") return one;
    if (one && condition.isNegated) return false;
    if (one) holds = true;
  }
  return holds;
}

async function holdsOf(condition: TextCondition, subject: string, tables: Tables): Promise<Holds> {
  switch (condition.kind) {
    case "any":
      return true;
    case "regexp":
      return regexpOf(condition).matcher(subject).find();
    case "table":
      return subject === "" ? false : await member(tables.get(condition.name), condition.name, subject);
    case "network":
      return networkContains(condition.network, subject);
    case "pattern":
      return patternMatches(condition.pattern, foldKey(subject));
    // What asks for more than the text itself is not among the conditions here.
    case "local":
    case "auth":
    case "certificate":
      return false;
  }
}

const compiled = new WeakMap<RegexpCondition, RE2JS>();

function regexpOf(condition: RegexpCondition): RE2JS {
  const known = compiled.get(condition) ?? compile(condition.source);
  compiled.set(condition, known);
  return known;
}

function compile(source: string): RE2JS {
  return RE2JS.compile(source, RE2JS.CASE_INSENSITIVE);
}
