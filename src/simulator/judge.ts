import { parseDuration } from "../foundation/units.ts";
import { figureAt, type Figures } from "./figures.ts";
import type { Expectation } from "./scenario.ts";

/** Whether an expectation held in a run, with the figures. */
export interface Judgement {
  readonly what: string;
  readonly run: string;
  readonly figure: string;
  readonly isMet: boolean;
  readonly value: number | undefined;
  readonly atMost: number | undefined;
  readonly atLeast: number | undefined;
}

export interface NamedFigures {
  readonly name: string;
  readonly figures: Figures;
}

/** An expectation about a run that there was not is not met: nothing passes by being left out. */
export function judge(expectations: readonly Expectation[], runs: readonly NamedFigures[]): readonly Judgement[] {
  return expectations.flatMap((expected) => {
    const concerned = expected.run === undefined ? runs : runs.filter((run) => run.name === expected.run);
    if (concerned.length === 0) return [judged(expected, expected.run ?? "", undefined, NaN)];
    const other = runs.find((run) => run.name === expected.timesThatOf);
    const factor =
      expected.timesThatOf === undefined ? 1 : other === undefined ? NaN : figureAt(other.figures, expected.figure);
    return concerned.map(({ name, figures }) =>
      judged(expected, name, figureAt(figures, expected.figure), factor ?? NaN),
    );
  });
}

function judged(expected: Expectation, run: string, value: number | undefined, factor: number): Judgement {
  const atMost = expected.atMost === undefined ? undefined : boundOf(expected.atMost) * factor;
  const atLeast = expected.atLeast === undefined ? undefined : boundOf(expected.atLeast) * factor;
  const isMet =
    value !== undefined &&
    (atMost !== undefined || atLeast !== undefined) &&
    // Comparisons with what is no number are false: then it is not met.
    (atMost === undefined || value <= atMost) &&
    (atLeast === undefined || value >= atLeast);
  return { what: expected.what, run, figure: expected.figure, isMet, value, atMost, atLeast };
}

function boundOf(written: number | string): number {
  if (typeof written === "number") return written;
  const parsed = parseDuration(written);
  return parsed.ok ? parsed.value : NaN;
}

const DURATIONS = new Set(["p50", "p90", "p95", "p99", "p100", "took"]);

/** As people read it: a time or a number. */
export function figureText(figure: string, value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "none";
  if (value === Infinity) return "never";
  if (DURATIONS.has(figure.slice(figure.lastIndexOf(".") + 1))) return timeText(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(3).replace(/\.?0+$/, "");
}

/** `412 ms`, `8.6 s`, `7 min 4 s`, `2 h 31 min`. */
export function timeText(ms: number): string {
  if (ms === Infinity) return "never";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
