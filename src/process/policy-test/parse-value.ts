import type { z } from "zod";
import { refused, type Result } from "../../foundation/result.ts";
import { wordsOf } from "../../service/config/words.ts";

/** What code hands over as a trial or an expectation, looked at as settings are; `what` stands before the names in what is wrong. */
export function parseValue<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): Result<z.output<Schema>, readonly string[]> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const given = (path: readonly PropertyKey[]): { isThere: boolean; value: unknown } => {
    let found = value;
    for (const step of path) {
      if (typeof found !== "object" || found === null || !Object.hasOwn(found, step))
        return { isThere: false, value: undefined };
      found = (found as Record<PropertyKey, unknown>)[step]; // an object, and the step is its own
    }
    return { isThere: found !== undefined, value: found };
  };
  const context = { schema, spell: (name: string) => name, given };
  return refused(
    parsed.error.issues
      .flatMap((issue) => wordsOf(issue, context))
      .map(({ path, text }) => `${[what, ...path].join(".")}: ${text}`),
  );
}
