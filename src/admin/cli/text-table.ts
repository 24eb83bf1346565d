import { escapeControls, isOrdinary } from "../../foundation/escape.ts";

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
  const rights = columns.map((column) => column.align === "right");
  const last = columns.length - 1;
  let hasTitles = false;
  return (rows) => {
    // Plain loops over flat lists: queues of a hundred thousand are listed.
    const cells: string[] = [];
    const cellWidths: number[] = [];
    const add = (row: readonly string[]): void => {
      for (let at = 0; at <= last; at++) {
        const given = row[at] ?? "";
        const isPlain = isOrdinary(given);
        const cell = isPlain ? given : escapeControls(given);
        const width = isPlain ? cell.length : widthOf(cell);
        cells.push(cell);
        cellWidths.push(width);
        if (width > (widths[at] ?? 0)) widths[at] = width;
      }
    };
    if (!hasTitles) add(columns.map((column) => column.title));
    hasTitles = true;
    for (const row of rows) add(row);
    let text = "";
    for (let index = 0; index < cells.length;) {
      let line = "";
      for (let at = 0; at <= last; at++, index++) {
        const cell = cells[index] ?? "";
        const blanks = blanksOf((widths[at] ?? 0) - (cellWidths[index] ?? 0));
        if (at > 0) line += "  ";
        if (rights[at] === true) line += blanks + cell;
        else line += at === last ? cell : cell + blanks;
      }
      text += `${line.trimEnd()}\n`;
    }
    return text;
  };
}

const BLANKS = Array.from({ length: 100 }, (_, count) => " ".repeat(count));

function blanksOf(count: number): string {
  return BLANKS[count] ?? " ".repeat(Math.max(0, count));
}

/** Code points: near enough for addresses; combining marks and wide characters are rare in a queue. */
function widthOf(text: string): number {
  return Array.from(text).length;
}
