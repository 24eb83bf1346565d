import type { z } from "zod";
import { kebabCase } from "./names.ts";
import { allowedWords, factsOf, memberOf, shapeOf } from "./schema.ts";

/** The manual's list of settings, in Markdown: every name, what it may be, its default, what it means. */
export function settingsReference(schema: z.core.$ZodType, introduction: string): string {
  const parts = [...(shapeOf(schema) ?? [])];
  const scalars = parts.filter(([, type]) => !hasParts(type));
  const blocks = parts.filter(([, type]) => hasParts(type));
  const lines = [
    introduction.trim(),
    "",
    "## At the top",
    "",
    ...table(scalars.map(([name, type]) => rowOf(kebabCase(name), type))),
  ];
  for (const [name, type] of blocks) {
    lines.push("", `## ${kebabCase(name)}`, "");
    const { description } = factsOf(type);
    if (description !== undefined) lines.push(description, "");
    lines.push(...table(rowsOf(kebabCase(name), type)));
  }
  return `${lines.join("\n")}\n`;
}

type Row = readonly [name: string, allowed: string, fallback: string, description: string];

function hasParts(type: z.core.$ZodType): boolean {
  return within(type) !== undefined;
}

/** What is inside: the parts of a block, of each element of a list, of each entry of a map. */
function within(type: z.core.$ZodType): { suffix: string; type: z.core.$ZodType } | undefined {
  if (shapeOf(type) !== undefined) return { suffix: "", type };
  const element = memberOf(type, "array");
  if (element !== undefined && shapeOf(element) !== undefined) return { suffix: "[]", type: element };
  const entry = memberOf(type, "record");
  if (entry === undefined) return undefined;
  return { suffix: ".<name>", type: entry };
}

function rowsOf(prefix: string, type: z.core.$ZodType): readonly Row[] {
  const inside = within(type);
  if (inside === undefined) return [rowOf(prefix, type)];
  const shape = shapeOf(inside.type);
  const path = `${prefix}${inside.suffix}`;
  if (shape === undefined) return [rowOf(path, inside.type)];
  return [...shape].flatMap(([name, part]) => {
    const partPath = `${path}.${kebabCase(name)}`;
    const rows = rowsOf(partPath, part);
    const { description } = factsOf(part);
    // A block inside a block is told itself, then its parts.
    return hasParts(part) && description !== undefined ? [[partPath, "", "", description] as const, ...rows] : rows;
  });
}

function rowOf(name: string, type: z.core.$ZodType): Row {
  const facts = factsOf(type);
  const fallback =
    facts.fallback === undefined
      ? facts.isOptional
        ? ""
        : "required"
      : `\`${JSON.stringify(facts.fallback).replace(/^"(.*)"$/, "$1")}\``;
  return [name, allowedWords(type, kebabCase), fallback, facts.description ?? ""];
}

function table(rows: readonly Row[]): readonly string[] {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll("<", "&lt;");
  return [
    "| name | value | default | meaning |",
    "|---|---|---|---|",
    ...rows.map(
      ([name, allowed, fallback, description]) =>
        `| \`${name}\` | ${cell(allowed)} | ${fallback} | ${cell(description)} |`,
    ),
  ];
}
