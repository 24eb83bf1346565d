import { contenderNames, isOurs, type ContenderName } from "./contender.ts";
import { measures, median, type Measure, type Row } from "./figures.ts";

/** Bars as SVG, without a library: a group for each cell, a bar for each server, ours with their ratio to Postfix. */

const WIDTH = 860;
const LEFT = 130;
const RIGHT = 150;
const BAR = 15;
const GAP = 3;
const HEAD = 22;
const GROUP_GAP = 10;
const TITLE = 44;

/** Readable on white and on black; what is not told by colour alone: each bar has its name. */
const fills: Readonly<Record<ContenderName, string>> = {
  "Posthorn, single": "#d9822b",
  "Posthorn, split": "#b8601c",
  Postfix: "#4c8dd6",
  "Postfix, held": "#7fb0e4",
  Exim: "#4fa37a",
  OpenSMTPD: "#9a7fc9",
  Haraka: "#c0657f",
  "Node, bare": "#8a8f98",
  "Node, stores": "#5b6068",
};

const STYLE = `text{font:12px system-ui,sans-serif;fill:#24292f}.faint{fill:#57606a}.title{font-size:15px;font-weight:600}
.cell{font-weight:600}.axis{stroke:#8c959f;stroke-width:1}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#9da7b3}.axis{stroke:#6e7681}}`;

/** One plot of all rows with that measure; undefined when there are none. */
export function plotOf(title: string, measure: Measure, rows: readonly Row[]): string | undefined {
  const groups = rows.filter((row) => row.measure === measure && row.samples.size > 0);
  if (groups.length === 0) return undefined;
  const { label, digits, isMoreBetter } = measures[measure];
  const longest = Math.max(...groups.flatMap(({ samples }) => [...samples.values()].map(median)));
  const scale = longest > 0 ? (WIDTH - LEFT - RIGHT) / longest : 0;
  const parts: string[] = [];
  let y = TITLE;
  for (const { cell, samples } of groups) {
    parts.push(text(8, y + 14, cell, "cell"));
    y += HEAD;
    const top = y;
    const beside = samples.get("Postfix");
    for (const name of contenderNames) {
      const values = samples.get(name);
      if (values === undefined) continue;
      const value = median(values);
      const length = Math.max(1, value * scale);
      const ratio = isOurs(name) && beside !== undefined ? ` (× ${(value / median(beside)).toFixed(2)})` : "";
      parts.push(
        text(LEFT - 8, y + 12, name, "faint", "end"),
        `<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2" fill="${fills[name]}"/>`,
        text(LEFT + length + 6, y + 12, `${value.toFixed(digits)}${ratio}`),
      );
      y += BAR + GAP;
    }
    parts.push(`<line class="axis" x1="${LEFT}" y1="${top - 2}" x2="${LEFT}" y2="${y}"/>`);
    y += GROUP_GAP;
  }
  const better = `${label}; ${isMoreBetter ? "longer" : "shorter"} is better; in parentheses Posthorn ÷ Postfix`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img">
<title>${escaped(`${title}: ${label}`)}</title>
<style>${STYLE}</style>
${[text(8, 18, title, "title"), text(8, 35, better, "faint"), ...parts].join("\n")}
</svg>
`;
}

function text(x: number, y: number, what: string, kind?: string, anchor?: string): string {
  const attributes = [
    ...(kind === undefined ? [] : [`class="${kind}"`]),
    ...(anchor === undefined ? [] : [`text-anchor="${anchor}"`]),
  ];
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes.join(" ")}>${escaped(what)}</text>`;
}

function escaped(what: string): string {
  return what.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
