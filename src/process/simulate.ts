import { existsSync } from "node:fs";
import { ownModule } from "../foundation/own-module.ts";
import type { SimulationAnswer, SimulationRequest } from "../admin/cli/world.ts";
import { systemClock } from "../foundation/clock.io.ts";
import { PosthornError } from "../foundation/error.ts";
import { problemLine, type SettingsProblem } from "../service/config/config.ts";
import { camelCase, nearestName } from "../service/config/names.ts";
import { parseSettings, type SettingsSource } from "../service/config/parse.ts";
import { readSettingsFile } from "../service/config/read.io.ts";
import type { SourceNode } from "../service/config/source.ts";
import { checkScenario } from "../simulator/check-scenario.ts";
import { simulatedParts, type ShapingRules } from "../simulator/core-settings.ts";
import { runExperiment, type SettingsTree } from "../simulator/experiment.ts";
import { plotOf } from "../simulator/plot.ts";
import { reportText } from "../simulator/report-text.ts";
import { scenarioOf, scenarioSettings, type Scenario } from "../simulator/scenario.ts";
import { shippedScenarios } from "../simulator/scenarios/catalogue.ts";
import { loadSettings } from "./settings/load-settings.ts";

/** What `posthorn simulate` does, loaded when somebody asks for it: no server needs it. */
export async function simulate(request: SimulationRequest, tell: (line: string) => void): Promise<SimulationAnswer> {
  const scenario = await scenarioFor(request);
  const settings = request.settingsFile === undefined ? undefined : await settingsTree(request.settingsFile);
  const shapingTable =
    request.settingsFile === undefined ? undefined : await shapingTableOf(request.settingsFile, settings);
  const report = runExperiment(scenario, {
    seed: request.seed,
    settings,
    shapingTable,
    set: request.set,
    compare: request.compare,
    variant: request.variant,
    onProgress: (run, { now, arrived, ended }) =>
      tell(`${run}: ${(now / 3_600_000).toFixed(1)} h, ${arrived} came, ${ended} left`),
  });
  return { report, text: reportText(report), svg: plotOf(report), isFine: report.isFine };
}

/** The scenarios that can be named. */
export function listSimulations(): readonly { readonly name: string; readonly says: string }[] {
  return shippedScenarios.map(({ name, says }) => ({ name, says }));
}

async function scenarioFor({ scenario: wanted, size, variant }: SimulationRequest): Promise<Scenario> {
  const shipped = shippedScenarios.find(({ name }) => name === wanted);
  const scenario =
    shipped !== undefined && !existsSync(wanted) ? scenarioOf(shipped.make(size)) : await scenarioFrom(wanted);
  if (variant !== undefined && !Object.hasOwn(scenario.variants, variant)) {
    const names = Object.keys(scenario.variants);
    throw new PosthornError("USAGE", {
      message: `${wanted} has no variant ${JSON.stringify(variant)}`,
      advice: names.length === 0 ? "it has none" : `it has: ${names.join(", ")}`,
    });
  }
  return scenario;
}

async function scenarioFrom(file: string): Promise<Scenario> {
  if (!existsSync(file)) {
    const near = nearestName(
      file,
      shippedScenarios.map(({ name }) => name),
    );
    throw new PosthornError("USAGE", {
      message: `there is no scenario and no file ${JSON.stringify(file)}${near === undefined ? "" : `; did you mean ${near}?`}`,
      advice: "posthorn simulate, without a name, lists those that come with Posthorn",
    });
  }
  const source = await sourceOf(file, "simulator/library", "posthorn/simulator");
  const parsed = parseSettings(scenarioSettings, source);
  if (!parsed.ok) throw invalid(parsed.problem);
  const scenario = parsed.value.settings;
  const problems = checkScenario(scenario).map(({ path, text }) => parsed.value.problemAt(path, text));
  if (problems.length > 0) throw invalid(problems);
  return scenario.name === "" ? { ...scenario, name: file } : scenario;
}

/** The parts of a server's settings that matter here, as they were written. The rest may be wrong. */
async function settingsTree(file: string): Promise<SettingsTree> {
  const { root } = await sourceOf(file, "process/library", "posthorn");
  const tree = plain(root);
  if (typeof tree !== "object" || tree === null) return {};
  return Object.fromEntries(Object.entries(tree).filter(([name]) => simulatedParts.includes(camelCase(name))));
}

/** Limits by destination may stand in a table: then the settings are read as the server reads them, with all they name. */
async function shapingTableOf(file: string, tree: SettingsTree = {}): Promise<ShapingRules | undefined> {
  const { route } = tree;
  const hasTable =
    typeof route === "object" &&
    route !== null &&
    Object.keys(route).some((name) => camelCase(name) === "shapingTable");
  if (!hasTable) return undefined;
  const loaded = await loadSettings({ file, directory: process.cwd(), clock: systemClock });
  if (!loaded.ok) throw invalid(loaded.problem);
  return loaded.value.settings.route.shaping;
}

/** `library` is what code in the file may import, by that name. */
async function sourceOf(file: string, library: string, libraryName: string): Promise<SettingsSource> {
  const address = ownModule(library);
  const source = await readSettingsFile(file, { clock: systemClock, library: address, libraryName });
  if (!source.ok) throw invalid(source.problem);
  return source.value;
}

function plain(node: SourceNode): unknown {
  if (node.kind === "list") return node.items.map(plain);
  if (node.kind === "map") return Object.fromEntries(node.entries.map((entry) => [entry.name, plain(entry.node)]));
  return node.value;
}

function invalid(problems: readonly SettingsProblem[]): PosthornError {
  return new PosthornError("SETTINGS_INVALID", {
    message: problems.map(problemLine).join("\n"),
    advice: "mend the file; docs/manual/simulate.md says what may stand in a scenario",
  });
}
