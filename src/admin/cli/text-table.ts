import { escapeControls } from "../../foundation/escape.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Columns under their titles, as wide as their widest cell. What a peer wrote can not act on the terminal. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(escapeControls));
  const widths = columns.map((column) => column.title.length);
  for (const row of cells)
    for (let at = 0; at < widths.length; at++) widths[at] = Math.max(widths[at] ?? 0, widthOf(row[at] ?? ""));
  // Plain loops: queues of a hundred thousand are listed.
  let text = "";
  for (const row of [columns.map((column) => column.title), ...cells]) {
    let line = "";
    columns.forEach((column, at) => {
      const cell = row[at] ?? "";
      const wanted = cell.length + (widths[at] ?? 0) - widthOf(cell);
      line += `${at === 0 ? "" : "  "}${column.align === "right" ? cell.padStart(wanted) : cell.padEnd(wanted)}`;
    });
    text += `${line.trimEnd()}\n`;
  }
  return text;
}

/** Code points: near enough for addresses; combining marks and wide characters are rare in a queue. */
function widthOf(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : Array.from(text).length;
}
