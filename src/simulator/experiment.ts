import { deliveredOverTime, figuresOf, type Figures } from "./figures.ts";
import { judge, type Judgement } from "./judge.ts";
import type { Scenario } from "./scenario.ts";
import { simulate, type Progress, type Run } from "./simulation.ts";
import { nameIn, withSetting, type ShapingRules } from "./core-settings.ts";

export type SettingsTree = Readonly<Record<string, unknown>>;

export interface ExperimentOptions {
  /** Instead of the scenario's. */
  readonly seed?: number | undefined;
  /** Of a real installation; what they say wins over the scenario's. */
  readonly settings?: SettingsTree | undefined;
  /** Limits by destination that stand in a table. */
  readonly shapingTable?: ShapingRules | undefined;
  /** Single settings, by path, for all runs; they win over everything but what a variant sets. */
  readonly set?: Readonly<Record<string, unknown>> | undefined;
  /** One setting with several values: a run for each, instead of the scenario's own variants. */
  readonly compare?: { readonly path: string; readonly values: readonly unknown[] } | undefined;
  /** Only this one of the scenario's variants. */
  readonly variant?: string | undefined;
  readonly checkEvery?: number | undefined;
  readonly onProgress?: ((run: string, progress: Progress) => void) | undefined;
  readonly onTell?: ((run: string, at: number, name: string, fields: object) => void) | undefined;
}

export interface RunReport {
  readonly name: string;
  readonly figures: Figures;
  /** How many had been delivered, at evenly spread instants until `figures.run.took`. */
  readonly deliveredOverTime: readonly { readonly workload: string; readonly counts: readonly number[] }[];
}

/** What came of a scenario. It holds nothing of the machine it ran on: the same seed gives the same report. */
export interface Report {
  readonly scenario: string;
  readonly says: string;
  readonly seed: number;
  readonly runs: readonly RunReport[];
  readonly judgements: readonly Judgement[];
  readonly isFine: boolean;
}

interface Variant {
  readonly name: string;
  readonly set: Readonly<Record<string, unknown>>;
  readonly without: readonly string[];
}

/** Points of a curve. */
const POINTS = 240;

/** Runs a scenario, once for each of its variants, and judges what came of it. */
export function runExperiment(scenario: Scenario, options: ExperimentOptions = {}): Report {
  const seed = options.seed ?? scenario.seed;
  const variants = variantsOf(scenario, options);
  const runs = variants.map((variant): RunReport => {
    let settings: SettingsTree = merged(scenario.settings, options.settings ?? {});
    for (const set of [options.set ?? {}, variant.set])
      for (const [path, value] of Object.entries(set)) settings = withSetting(settings, path, value);
    const workloads = Object.entries(scenario.workloads).filter(([name]) => !variant.without.includes(name));
    const { onProgress, onTell } = options;
    const run = simulate(
      { ...scenario, workloads: Object.fromEntries(workloads) },
      {
        seed,
        settings,
        shapingTable: options.shapingTable,
        checkEvery: options.checkEvery,
        onProgress: onProgress === undefined ? undefined : (progress) => onProgress(variant.name, progress),
        onTell: onTell === undefined ? undefined : (at, name, fields) => onTell(variant.name, at, name, fields),
      },
    );
    return { name: variant.name, figures: figuresOf(run), deliveredOverTime: curvesOf(run) };
  });
  // What the scenario expects is said of its own variants; with others it would be about nothing.
  const expected =
    options.compare === undefined ? scenario.expect : scenario.expect.filter((one) => one.run === undefined);
  const wanted =
    options.variant === undefined ? expected : expected.filter((one) => isAbout(one, options.variant ?? ""));
  const judgements = judge(wanted, runs);
  return {
    scenario: scenario.name,
    says: scenario.says,
    seed,
    runs,
    judgements,
    isFine: judgements.every((one) => one.isMet),
  };
}

function isAbout({ run, timesThatOf }: Scenario["expect"][number], variant: string): boolean {
  return (run === undefined || run === variant) && (timesThatOf === undefined || timesThatOf === variant);
}

function variantsOf(scenario: Scenario, { compare, variant: only }: ExperimentOptions): readonly Variant[] {
  if (compare !== undefined)
    return compare.values.map((value) => ({ name: String(value), set: { [compare.path]: value }, without: [] }));
  const all = Object.entries(scenario.variants).map(([name, { set, without }]) => ({ name, set, without }));
  if (all.length === 0) return [{ name: "run", set: {}, without: [] }];
  return only === undefined ? all : all.filter(({ name }) => name === only);
}

function curvesOf(run: Run): RunReport["deliveredOverTime"] {
  return run.mails.workloads.map(({ name }) => ({ workload: name, counts: deliveredOverTime(run, name, POINTS) }));
}

/** The second's values where both have one, in whatever spelling; maps are merged in turn. */
function merged(base: SettingsTree, over: SettingsTree): SettingsTree {
  const result: Record<string, unknown> = { ...base };
  for (const [written, value] of Object.entries(over)) {
    const name = nameIn(base, written);
    const before = result[name];
    result[name] = isTree(before) && isTree(value) ? merged(before, value) : value;
  }
  return result;
}

function isTree(value: unknown): value is SettingsTree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
