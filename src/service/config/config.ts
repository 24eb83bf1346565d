import { kebabCase } from "./names.ts";

/**
 * Settings: one model, written once in zod, that people fill in `posthorn.yaml` or `posthorn.config.ts`.
 *
 *     text ──yaml.ts──▶ source tree ──fit.ts──▶ data in the schema's names ──zod──▶ typed settings
 *     code ──code.ts──▶    (with positions)                                  └────▶ located problems (words.ts)
 *
 * Invariants: nothing is guessed in silence (an unknown name is an error); all problems are told at once, each with its
 * place; settings in use change only as a whole (`reload.ts`), and never to something that was not checked.
 */

/** The way to one setting: names as the schema has them, and positions in lists. */
export type SettingPath = readonly (string | number)[];

/** Where a thing was written. Lines and columns count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
  /** Where it is not the settings' own file: a table that belongs to them. */
  readonly file?: string | undefined;
}

export interface SettingsProblem {
  readonly file: string;
  readonly place?: Place | undefined;
  /** As people write it: `listeners.smtp.max-sessions`; empty for the file as a whole. */
  readonly path: string;
  readonly text: string;
  /** A warning does not keep the server from starting. */
  readonly severity: "error" | "warning";
}

/** `posthorn.yaml:12:3: session.timeout: expected …` */
export function problemLine(problem: SettingsProblem): string {
  const place = problem.place === undefined ? "" : `:${problem.place.line}:${problem.place.column}`;
  const path = problem.path === "" ? "" : `${problem.path}: `;
  return `${problem.file}${place}: ${problem.severity === "warning" ? "warning: " : ""}${path}${problem.text}`;
}

/** In the order of the file, the same thing said once. */
export function inOrder(problems: readonly SettingsProblem[]): readonly SettingsProblem[] {
  const seen = new Set<string>();
  const of = (problem: SettingsProblem): readonly [number, number] => [
    problem.place?.line ?? 0,
    problem.place?.column ?? 0,
  ];
  return [...problems]
    .sort((a, b) => of(a)[0] - of(b)[0] || of(a)[1] - of(b)[1])
    .filter((problem) => {
      const line = problemLine(problem);
      return !seen.has(line) && seen.add(line);
    });
}

/** Where each setting was written; plain data, so that every process can say it at run time. */
export interface Origins {
  /** Undefined when the server runs without a file. */
  readonly file: string | undefined;
  /** By the path in the schema's names, joined by dots. */
  readonly places: Readonly<Record<string, Place>>;
}

/**
 * A problem found when only the settings in force are there, not their text: at its place, or at the nearest that was
 * written.
 */
export function problemIn(
  origins: Origins,
  path: SettingPath,
  text: string,
  severity: SettingsProblem["severity"] = "error",
): SettingsProblem {
  let place: Place | undefined;
  for (let length = path.length; length > 0 && place === undefined; length--)
    place = origins.places[path.slice(0, length).join(".")];
  const isYaml = origins.file?.endsWith(".yaml") === true;
  const words = path.map((step, at) =>
    typeof step === "number"
      ? `[${step}]`
      : `${at === 0 ? "" : "."}${isYaml && path[0] !== "tables" ? kebabCase(step) : step}`,
  );
  const isPlace = place !== undefined && place.line > 0;
  return {
    file: place?.file ?? origins.file ?? "defaults",
    ...(isPlace ? { place } : {}),
    path: words.join(""),
    text,
    severity,
  };
}

/** Where the value in force was set: `posthorn.yaml:12:5`, or `default` when no file mentions it. */
export function locate(origins: Origins, path: SettingPath): string {
  const place = origins.places[path.join(".")];
  if (origins.file === undefined || place === undefined) return "default";
  const file = place.file ?? origins.file;
  return place.line === 0 ? file : `${file}:${place.line}:${place.column}`;
}
