import type { z } from "zod";
import { kebabCase } from "./names.ts";
import { schemaAt } from "./schema.ts";
import { isChosenName } from "./words.ts";

/**
 * Paths in the settings as people would write them: `filteredBy` is `filtered-by`, names that people chose stay, and what the
 * code made of a value (`servers[0].port` of a URL) ends where the value was written. Each once.
 */
export function writtenNames(
  schema: z.core.$ZodType,
  paths: readonly string[],
  spelling: "kebab" | "camel",
): readonly string[] {
  return [...new Set(paths.map((path) => writtenName(schema, path, spelling)))];
}

function writtenName(schema: z.core.$ZodType, path: string, spelling: "kebab" | "camel"): string {
  const steps = [...path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, name, index]) => name ?? Number(index));
  let text = "";
  for (const [at, step] of steps.entries()) {
    const known = steps.slice(0, at + 1);
    if (schemaAt(schema, known) === undefined) break;
    if (typeof step === "number") text += `[${step}]`;
    else {
      const name = spelling === "camel" || isChosenName(schema, known, at) ? step : kebabCase(step);
      text += text === "" ? name : `.${name}`;
    }
  }
  return text === "" ? path : text;
}
