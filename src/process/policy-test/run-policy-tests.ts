import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { CaseOutcome, PolicyTestReport } from "../../admin/cli/settings/policy-world.ts";
import { locate, problemLine, type SettingsProblem } from "../../service/config/config.ts";
import { parseSettings } from "../../service/config/parse.ts";
import { readYaml } from "../../service/config/yaml.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { caseFileSettings, type Expectation, type Trial } from "./case.ts";
import { collectedTests, type CollectedTest } from "./collect-tests.ts";
import { differences } from "./expectation.ts";
import { runWith } from "./run-with.ts";
import { holdTrial, type Found } from "./trial.ts";
import { openTrialRoom, type TrialRoom } from "./trial-room.ts";

/** What `posthorn test` does: reads the files, opens the settings they are about, and holds one case after the other. */
export async function runPolicyTests(
  request: { readonly settings: string | undefined; readonly files: readonly string[]; readonly cwd: string },
  tell: (outcome: CaseOutcome) => void,
): Promise<PolicyTestReport> {
  const { cwd } = request;
  const beside = request.settings === undefined ? cwd : dirname(request.settings);
  const files = request.files.length > 0 ? request.files.map((file) => resolve(cwd, file)) : testsIn(beside);
  const rooms = new Map<string | undefined, Promise<TrialRoom>>();
  const roomOf = (settings: string | undefined): Promise<TrialRoom> => {
    const room = rooms.get(settings) ?? openRoom(settings, cwd);
    rooms.set(settings, room);
    return room;
  };
  const outcomes: CaseOutcome[] = [];
  const record = (outcome: CaseOutcome): void => {
    outcomes.push(outcome);
    tell(outcome);
  };
  try {
    for (const file of files) {
      const shown = relative(cwd, file);
      if (CODE.test(file)) {
        for (const one of await collectedTests(file))
          record(await heldTest(one, shown, () => roomOf(request.settings)));
        continue;
      }
      const { settings = request.settings, cases } = await readCases(file, shown);
      const room = await roomOf(settings);
      for (const one of cases) record(await heldCase(room, one));
    }
  } finally {
    for (const room of rooms.values()) await room.then((opened) => opened[Symbol.asyncDispose]()).catch(() => {});
  }
  return { outcomes, settings: [...rooms.keys()] };
}

const CODE = /\.[cm]?[jt]s$/;

function testsIn(directory: string): readonly string[] {
  const isTest = (name: string): boolean =>
    /^(?:.+\.)?cases\.ya?ml$/.test(name) || /\.policy\.test\.[cm]?[jt]s$/.test(name);
  const found = existsSync(directory) ? readdirSync(directory).filter(isTest).toSorted() : [];
  return found.map((name) => join(directory, name));
}

async function openRoom(file: string | undefined, cwd: string): Promise<TrialRoom> {
  // Certificates and keys do not matter here, and whoever asks may not be allowed to read them.
  const loaded = await loadSettings({ file, directory: cwd, clock: systemClock, isKeptElsewhere: () => true });
  if (!loaded.ok) throw invalid(loaded.problem);
  return openTrialRoom(loaded.value, { isLenient: false });
}

interface ReadCase {
  readonly where: string;
  readonly name: string;
  readonly trial: Trial;
  readonly expect: Expectation;
}

async function readCases(
  file: string,
  shown: string,
): Promise<{ settings: string | undefined; cases: readonly ReadCase[] }> {
  const text = await readFile(file, "utf8").catch((thrown: unknown) => {
    throw new PosthornError("USAGE", {
      message:
        systemCodeOf(thrown) === "ENOENT" ? `${shown} does not exist` : `${shown} cannot be read: ${messageOf(thrown)}`,
      advice: "name a file of cases, such as cases.yaml, or a test in code, such as mail.policy.test.ts",
    });
  });
  const read = readYaml(text, shown);
  if (read.root === undefined || read.problems.length > 0) throw invalid(read.problems);
  // A list alone is short for the file's one entry that matters.
  const isList = read.root.kind === "list";
  const root = isList ? ({ kind: "map", entries: [{ name: "cases", node: read.root }] } as const) : read.root;
  const parsed = parseSettings(caseFileSettings, { root, file: shown, directory: dirname(file), spelling: "kebab" });
  if (!parsed.ok) throw invalid(parsed.problem);
  const { settings, origins } = parsed.value;
  return {
    settings: settings.settings,
    cases: settings.cases.map(({ name, expect, ...trial }, at) => ({
      where: locate(origins, ["cases", at]),
      name: name ?? `from <${trial.from.replace(/^<(.*)>$/, "$1")}> to <${trial.to.join(">, <")}>`,
      trial,
      expect,
    })),
  };
}

async function heldCase(room: TrialRoom, { where, name, trial, expect }: ReadCase): Promise<CaseOutcome> {
  try {
    return outcomeOf(where, name, await holdTrial(room, trial), expect);
  } catch (thrown) {
    return { where, name, isPassed: false, differences: [], unexpected: [], problem: textOf(thrown) };
  }
}

function outcomeOf(where: string, name: string, found: Found, expect: Expectation): CaseOutcome {
  const list = differences(expect, found);
  const { unexpected } = found;
  return { where, name, isPassed: list.length === 0 && unexpected.length === 0, differences: list, unexpected };
}

async function heldTest(test: CollectedTest, where: string, room: () => Promise<TrialRoom>): Promise<CaseOutcome> {
  const { name } = test;
  try {
    await runWith(test.given, await room());
    return { where, name, isPassed: true, differences: [], unexpected: [] };
  } catch (thrown) {
    return { where, name, isPassed: false, differences: [], unexpected: [], problem: textOf(thrown) };
  }
}

function textOf(thrown: unknown): string {
  return thrown instanceof PosthornError ? `${thrown.message}: ${thrown.advice}` : messageOf(thrown);
}

function invalid(problems: readonly SettingsProblem[]): PosthornError {
  return new PosthornError("SETTINGS_INVALID", {
    message: problems.map(problemLine).join("\n"),
    advice: "mend the file, or name another one",
  });
}
