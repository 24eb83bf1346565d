import { escapeControls } from "../../foundation/escape.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Columns under their titles, as wide as their widest cell. What a peer wrote can not act on the terminal. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(escapeControls));
  const widths = columns.map((column, at) =>
    cells.reduce((widest, row) => Math.max(widest, widthOf(row[at] ?? "")), column.title.length),
  );
  const lineOf = (row: readonly string[]): string =>
    columns
      .map((column, at) => {
        const cell = row[at] ?? "";
        const padding = " ".repeat(Math.max(0, (widths[at] ?? 0) - widthOf(cell)));
        return column.align === "right" ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  return [columns.map((column) => column.title), ...cells].map((row) => `${lineOf(row)}\n`).join("");
}

/** Code points: near enough for addresses; combining marks and wide characters are rare in a queue. */
function widthOf(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : Array.from(text).length;
}
