/** A table in Markdown: the first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, at) => (at === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

/** `12,345`; nothing at all for what rounds to nothing. */
export function whole(figure: number): string {
  return Math.abs(figure) < 0.5 ? "" : figure.toFixed(0).replace(/\B(?=(?:\d{3})+$)/g, ",");
}
