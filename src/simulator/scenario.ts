import { z } from "zod";
import { duration } from "../service/config/kinds.ts";
import { checkScenario } from "./check-scenario.ts";
import { workloadSettings } from "./mails.ts";
import { worldSettings } from "./world/settings.ts";

/** What must hold: a figure of the report, bounded by a value or by the same figure of another run. */
const expectation = z
  .strictObject({
    what: z.string().describe("In words, for the report."),
    figure: z
      .string()
      .describe(
        "The figure: `workload.p99`, `workload.attemptsPerDelivered`, `all.delivered`, `host.provider.mails`, …",
      ),
    run: z.string().optional().describe("Of which run (variant). Without it: of every one."),
    atMost: z.union([z.number(), z.string()]).optional().describe("A number, or a duration such as 5m."),
    atLeast: z.union([z.number(), z.string()]).optional().describe("A number, or a duration."),
    timesThatOf: z.string().optional().describe("The bounds are multiples of what this run has."),
  })
  .describe("What must hold.");
export type Expectation = z.output<typeof expectation>;

const settingsTree = z.record(z.string(), z.unknown());

export const scenarioSettings = z.strictObject({
  name: z.string().default("").describe("How it is called."),
  says: z.string().default("").describe("What it is about."),
  seed: z.number().int().default(1).describe("Where chance begins: the same seed gives the same run."),
  until: duration({ min: "1s", max: "365d" }).prefault("24h").describe("When it ends, if mail is left then."),
  world: worldSettings.prefault({}).describe("Hosts and domains."),
  workloads: z
    .record(z.string().regex(/^[a-z][a-z0-9-]*$/), workloadSettings)
    .describe("The mail that comes, by name."),
  settings: settingsTree
    .default({})
    .describe(
      "The server's settings, as in its settings file: `scheduler`, `route`, `delivery`, `actions`, `hostname`.",
    ),
  variants: z
    .record(
      z.string().regex(/^[a-z0-9][\w.=,-]*$/i),
      z.strictObject({
        set: z.record(z.string(), z.unknown()).default({}).describe("Settings that are otherwise, by path."),
        without: z.array(z.string()).default([]).describe("Workloads that are left out."),
      }),
    )
    .default({})
    .describe("Several runs of it, to be compared. None: one run."),
  store: z
    .strictObject({
      read: duration().prefault("0s").describe("How long reading a message takes."),
      write: duration().prefault("5ms").describe("How long a write takes until it is durable."),
    })
    .prefault({})
    .describe("The queue's store."),
  expect: z.array(expectation).default([]).describe("What must hold."),
});
export type Scenario = z.output<typeof scenarioSettings>;
/** As it is written, in TypeScript or YAML. */
export type WrittenScenario = z.input<typeof scenarioSettings>;

/** For scenarios written in TypeScript: the editor knows what may stand in one. */
export function defineScenario(written: WrittenScenario): WrittenScenario {
  return written;
}

/** Throws for one that is wrong: it is a program's mistake. */
export function scenarioOf(written: WrittenScenario): Scenario {
  const scenario = scenarioSettings.parse(written);
  const [problem] = checkScenario(scenario);
  if (problem !== undefined) throw new TypeError(`${problem.path.join(".")}: ${problem.text}`);
  return scenario;
}
