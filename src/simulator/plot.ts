import { timeText } from "./judge.ts";
import type { Report } from "./experiment.ts";

/**
 * Delivered over time as a picture: one curve for each run and workload, in SVG that needs nothing else, is readable on
 * light and dark ground, and tells its figures as titles where the pointer rests.
 */
export function plotOf(report: Report): string {
  const curves = curvesOf(report);
  const longestMs = Math.max(1, ...curves.map((curve) => curve.tookMs));
  const step = tickStep(longestMs);
  const x = (ms: number): number => LEFT + (ms / longestMs) * (WIDTH - LEFT - RIGHT);
  const y = (share: number): number => TOP + (1 - share) * (PLOT_HEIGHT - TOP - BOTTOM);
  const parts: string[] = [];
  for (let at = 0; at <= longestMs; at += step) {
    parts.push(`<path class="grid" d="M${r(x(at))} ${r(y(0))}V${r(y(1))}"/>`);
    parts.push(`<text x="${r(x(at))}" y="${r(y(0) + 20)}" text-anchor="middle">${axisText(at)}</text>`);
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(`<path class="grid" d="M${LEFT} ${r(y(share))}H${WIDTH - RIGHT}"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${r(y(share) + 4)}" text-anchor="end">${share * 100} %</text>`);
  }
  for (const [index, curve] of curves.entries()) {
    const { length } = curve.counts;
    const points = curve.counts.map(
      (count, at) => `${r(x((at / Math.max(1, length - 1)) * curve.tookMs))} ${r(y(count / curve.total))}`,
    );
    const dash = DASHES[curve.dash % DASHES.length] ?? "";
    const colour = COLOURS[curve.colour % COLOURS.length] ?? "#888";
    const stroke = `stroke="${colour}"${dash === "" ? "" : ` stroke-dasharray="${dash}"`}`;
    parts.push(`<path class="curve" ${stroke} d="M${points.join("L")}"><title>${escape(curve.text)}</title></path>`);
    const line = PLOT_HEIGHT + 8 + index * 20;
    parts.push(`<path class="curve" ${stroke} d="M${LEFT} ${line - 4}h28"/>`);
    parts.push(`<text x="${LEFT + 36}" y="${line}">${escape(curve.text)}</text>`);
  }
  const height = PLOT_HEIGHT + 20 + curves.length * 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(report.scenario)}">
<style>svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#333}.title{font-weight:600;font-size:15px}.grid{stroke:#ddd;fill:none}.curve{fill:none;stroke-width:2}@media(prefers-color-scheme:dark){svg{background:#181a1b}text{fill:#ddd}.grid{stroke:#333}}</style>
<text class="title" x="${LEFT}" y="20">${escape(`${report.scenario}: delivered over time (seed ${report.seed})`)}</text>
${parts.join("\n")}
</svg>
`;
}

const WIDTH = 900;
const PLOT_HEIGHT = 440;
const LEFT = 60;
const RIGHT = 24;
const TOP = 40;
const BOTTOM = 50;
/** Told apart by people who do not see all colours alike. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3"];

interface Curve {
  readonly text: string;
  readonly counts: readonly number[];
  readonly total: number;
  readonly tookMs: number;
  readonly colour: number;
  readonly dash: number;
}

/** Runs differ in colour and workloads in dashes; of a single run the workloads differ in colour. */
function curvesOf({ runs }: Report): readonly Curve[] {
  return runs.flatMap((run, at) =>
    run.deliveredOverTime.map(({ workload, counts }, nth): Curve => {
      const figures = run.figures.workloads[workload];
      const names = [
        ...(runs.length > 1 ? [run.name] : []),
        ...(run.deliveredOverTime.length > 1 || runs.length === 1 ? [workload] : []),
      ];
      const times =
        figures === undefined
          ? ""
          : `: half after ${timeText(figures.p50)}, 99 % after ${timeText(figures.p99)}, all after ${timeText(figures.p100)}`;
      const isOne = runs.length === 1;
      return {
        text: `${names.join(", ")}${times}`,
        counts,
        total: Math.max(1, figures?.envelopes ?? 1),
        tookMs: run.figures.run.took,
        colour: isOne ? nth : at,
        dash: isOne ? 0 : nth,
      };
    }),
  );
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800].map((seconds) => seconds * 1000);
const LONG_STEPS = [HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 90 * DAY];

/** At most ten lines. */
function tickStep(longestMs: number): number {
  return [...STEPS, ...LONG_STEPS].find((step) => longestMs / step <= 10) ?? longestMs;
}

function axisText(ms: number): string {
  if (ms === 0) return "0";
  if (ms % DAY === 0) return `${ms / DAY} d`;
  if (ms % HOUR === 0) return `${ms / HOUR} h`;
  if (ms >= HOUR) return `${Math.floor(ms / HOUR)}:${String((ms % HOUR) / MINUTE).padStart(2, "0")} h`;
  return ms % MINUTE === 0 ? `${ms / MINUTE} min` : `${ms / 1000} s`;
}

function r(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
