import { escapeControls } from "../../foundation/escape.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Columns under their titles, as wide as their widest cell. What a peer wrote can not act on the terminal. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  return tableWriter(columns)(rows);
}

/**
 * A table that comes in portions, the titles with the first. Columns are as wide as the widest cell so far: a later portion
 * with a longer one widens what follows.
 */
export function tableWriter(columns: readonly Column[]): (rows: readonly (readonly string[])[]) => string {
  const widths = columns.map((column) => column.title.length);
  const last = columns.length - 1;
  let hasTitles = false;
  return (rows) => {
    const cells = rows.map((row) => row.map(escapeControls));
    const cellWidths = cells.map((row) => row.map(widthOf));
    for (const row of cellWidths)
      for (let at = 0; at <= last; at++) widths[at] = Math.max(widths[at] ?? 0, row[at] ?? 0);
    if (!hasTitles) {
      const titles = columns.map((column) => column.title);
      cells.unshift(titles);
      cellWidths.unshift(titles.map((title) => title.length));
      hasTitles = true;
    }
    // Plain loops: queues of a hundred thousand are listed.
    let text = "";
    for (const [index, row] of cells.entries()) {
      let line = "";
      for (let at = 0; at <= last; at++) {
        const cell = row[at] ?? "";
        const blanks = " ".repeat(Math.max(0, (widths[at] ?? 0) - (cellWidths[index]?.[at] ?? 0)));
        if (at > 0) line += "  ";
        line += columns[at]?.align === "right" ? blanks + cell : cell + (at === last ? "" : blanks);
      }
      text += `${line.trimEnd()}\n`;
    }
    return text;
  };
}

/** Code points: near enough for addresses; combining marks and wide characters are rare in a queue. */
function widthOf(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : Array.from(text).length;
}
