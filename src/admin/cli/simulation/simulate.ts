import { harmlessJson } from "../../../foundation/escape.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { usage, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { textTable } from "../text-table.ts";
import type { SimulationRequest, World } from "../world.ts";

export const simulateCommand: CliCommand = {
  name: "simulate",
  operands: "[SCENARIO]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Plays a scenario of mail, hosts and DNS in virtual time with the server's own scheduler, and says how delivery goes.",
  explains:
    "SCENARIO is the name of one that comes with Posthorn, or a file (YAML or TypeScript); without it, the names are listed. Nothing is sent, and no server is asked. With --file, the scheduler, route, delivery and actions of that settings file are tried. The same seed gives the same report. Exits with 1 when something does not hold that the scenario expects.",
  options: {
    seed: { says: "Where chance begins (the scenario's).", value: "N" },
    set: {
      says: "A setting to be otherwise, as route.limits.host=20; may be given more than once.",
      value: "PATH=VALUE",
      isMany: true,
    },
    compare: { says: "A run for each value of a setting, as route.limits.host=5,10,20.", value: "PATH=VALUE,…" },
    strategy: { says: "Short for --set route.greylisting.strategy=NAME.", value: "NAME" },
    variant: { says: "Only this variant of the scenario.", value: "NAME" },
    small: { says: "A scenario that comes with Posthorn: in a size that takes seconds." },
    svg: { says: "Writes delivered over time as a picture.", value: "FILE" },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const [scenario] = given.operands;
    if (scenario === undefined) return list(given, world);
    const svgFile = given.text("svg");
    const answer = await world.simulate(requestOf(scenario, given), (line) => {
      if (world.stderr.isTerminal) world.stderr.write(`\r\u001B[K${line}`);
    });
    if (world.stderr.isTerminal) world.stderr.write("\r\u001B[K");
    // First, for it may have taken long, and a picture that cannot be written is no reason to lose it.
    world.stdout.write(given.has("json") ? `${harmlessJson(answer.report)}\n` : answer.text);
    if (svgFile !== undefined) {
      await world.saveFile(svgFile, new TextEncoder().encode(answer.svg)).catch((thrown: unknown) => {
        throw new PosthornError("USAGE", {
          message: `${svgFile} cannot be written: ${messageOf(thrown)}`,
          advice: "name a file that is not there yet, in a directory where this user may write",
        });
      });
    }
    return answer.isFine ? exitCodes.ok : exitCodes.nothing;
  },
};

async function list(given: Given, world: World): Promise<number> {
  const scenarios = await world.listSimulations();
  if (given.has("json")) world.stdout.write(`${harmlessJson(scenarios)}\n`);
  else
    world.stdout.write(
      textTable(
        [{ title: "scenario" }, { title: "says" }],
        scenarios.map((one) => [one.name, one.says]),
      ),
    );
  return exitCodes.ok;
}

function requestOf(scenario: string, given: Given): SimulationRequest {
  const seedText = given.text("seed");
  const seed = seedText === undefined ? undefined : Number(seedText);
  if (seed !== undefined && !Number.isSafeInteger(seed)) throw usage(simulateCommand, "--seed wants a whole number");
  const strategy = given.text("strategy");
  const set = new Map<string, unknown>();
  if (strategy !== undefined) set.set("route.greylisting.strategy", strategy);
  for (const text of given.texts("set")) {
    const [path, value] = splitSetting(text, "--set");
    set.set(path, valueOf(value));
  }
  const compareText = given.text("compare");
  const compared = compareText === undefined ? undefined : splitSetting(compareText, "--compare");
  return {
    scenario,
    settingsFile: given.settingsFile,
    seed,
    set: Object.fromEntries(set),
    compare: compared === undefined ? undefined : { path: compared[0], values: compared[1].split(",").map(valueOf) },
    variant: given.text("variant"),
    size: given.has("small") ? "small" : "full",
  };
}

function splitSetting(text: string, option: string): readonly [path: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw usage(simulateCommand, `${option} wants PATH=VALUE, got ${JSON.stringify(text)}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A number, yes or no, or a text. */
function valueOf(text: string): unknown {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  return text === "true" ? true : text === "false" ? false : text;
}
