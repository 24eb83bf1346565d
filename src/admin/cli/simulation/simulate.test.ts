import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGiven } from "../command.ts";
import { simulateCommand } from "./simulate.ts";
import type { Output, SimulationAnswer, SimulationRequest, World } from "../world.ts";

async function call(
  argv: readonly string[],
  answer: Partial<SimulationAnswer> = {},
): Promise<{ code: number; out: string; requests: SimulationRequest[]; files: Record<string, string> }> {
  let out = "";
  const requests: SimulationRequest[] = [];
  const files: Record<string, string> = {};
  const output: Output = {
    isTerminal: false,
    write: (text) => void (out += String(text)),
    room: () => Promise.resolve(),
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  };
  const world: Pick<World, "simulate" | "listSimulations" | "saveFile" | "stdout" | "stderr"> = {
    stdout: output,
    stderr: { ...output, write: () => {} },
    saveFile: (path, bytes) => {
      files[path] = new TextDecoder().decode(bytes);
      return Promise.resolve();
    },
    listSimulations: () => Promise.resolve([{ name: "storm", says: "A storm." }]),
    simulate: (request) => {
      requests.push(request);
      return Promise.resolve({ report: { seed: 7 }, text: "the report\n", svg: "<svg/>", isFine: true, ...answer });
    },
  };
  // Only these parts of the world are touched.
  const code = await simulateCommand.run(parseGiven(simulateCommand, argv), world as World);
  return { code, out, requests, files };
}

test("without a scenario those that there are are listed", async () => {
  assert.match((await call([])).out, /storm +A storm\./);
  assert.match((await call(["--json"])).out, /^\[\{"name":"storm"/);
});

test("options become a request: settings by path, numbers as numbers, the strategy by its short name", async () => {
  const { requests, out, code } = await call([
    "storm",
    "--seed=7",
    "--strategy=none",
    "--set=route.limits.host=20",
    "--set",
    "scheduler.retry.relay.step=5m",
    "--compare=route.limits.route=5,10",
    "--small",
    "-f",
    "posthorn.yaml",
  ]);
  assert.equal(code, 0);
  assert.equal(out, "the report\n");
  assert.deepEqual(requests, [
    {
      scenario: "storm",
      settingsFile: "posthorn.yaml",
      seed: 7,
      set: { "route.greylisting.strategy": "none", "route.limits.host": 20, "scheduler.retry.relay.step": "5m" },
      compare: { path: "route.limits.route", values: [5, 10] },
      variant: undefined,
      size: "small",
    },
  ]);
});

test("the picture is written where it is wanted, and the report is JSON where that is", async () => {
  const { files, out } = await call(["storm", "--svg", "storm.svg", "--json"]);
  assert.deepEqual(files, { "storm.svg": "<svg/>" });
  assert.equal(out, '{"seed":7}\n');
});

test("the report is there even where the picture cannot be written", async () => {
  let out = "";
  const output: Output = {
    isTerminal: false,
    write: (text) => void (out += String(text)),
    room: async () => {},
    flushed: async () => {},
    lost: new AbortController().signal,
  };
  const world: Pick<World, "simulate" | "saveFile" | "stdout" | "stderr"> = {
    stdout: output,
    stderr: output,
    simulate: async () => ({ report: {}, text: "the report\n", svg: "<svg/>", isFine: true }),
    saveFile: () => Promise.reject(new Error("EEXIST")),
  };
  // Only these parts of the world are touched.
  const run = simulateCommand.run(parseGiven(simulateCommand, ["storm", "--svg", "x.svg"]), world as World);
  await assert.rejects(Promise.resolve(run), { code: "USAGE", message: "x.svg cannot be written: EEXIST" });
  assert.equal(out, "the report\n");
});

test("what does not hold is an exit with 1", async () => {
  assert.equal((await call(["storm"], { isFine: false })).code, 1);
});

test("options that say nothing are refused", async () => {
  for (const argv of [
    ["storm", "--seed=one"],
    ["storm", "--set=route"],
    ["storm", "--compare==5"],
  ])
    await assert.rejects(call(argv), /--(seed|set|compare) wants/);
});
