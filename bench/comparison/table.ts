import { contenderNames, isAside, isOurs, whyLeftOut, type ContenderName, type Wanted } from "./contender.ts";
import { measures, median, type Figures, type Row } from "./figures.ts";

/** A part as Markdown: a table for each measure, a row for each cell, a column for each server that has a figure. */
export function tablesOf(title: string, part: string, figures: Figures): string {
  const rows = figures.rowsOf(part);
  const lines = [`### ${title}`];
  for (const measure of new Set(rows.map((row) => row.measure))) {
    const own = rows.filter((row) => row.measure === measure);
    const names = contenderNames.filter((name) => own.some(({ samples }) => samples.has(name)));
    lines.push(
      "",
      `| ${measures[measure].label} | ${names.join(" | ")} |`,
      `|${"---|".repeat(names.length + 1)}`,
      ...own.map((row) => `| ${row.cell} | ${names.map((name) => cellOf(row, name)).join(" | ")} |`),
    );
  }
  const notes = figures.notesOf(part);
  if (rows.length === 0) lines.push("", "Not measured.");
  if (notes.length > 0) lines.push("", ...notes.map((note) => `- ${note}`));
  return lines.join("\n");
}

function cellOf({ samples, measure }: Row, name: ContenderName): string {
  const values = samples.get(name);
  if (values === undefined) return "—";
  const { digits } = measures[measure];
  const beside = samples.get("Postfix");
  const value = median(values);
  const ratio =
    isOurs(name) && beside !== undefined && measure !== "stolen" ? ` (× ${(value / median(beside)).toFixed(2)})` : "";
  const range =
    values.length < 2 ? "" : ` [${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}]`;
  return `${value.toFixed(digits)}${range}${ratio}`;
}

/** Who has no figure in a part, and why: a column that is missing is missing by name. */
export function leftOutOf(names: readonly ContenderName[], wanted: Wanted): readonly string[] {
  return names.flatMap((name) => {
    const why = whyLeftOut(name, wanted);
    return why === undefined || isAside(name) ? [] : [`Left out: ${name}. ${upper(why)}.`];
  });
}

function upper(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
