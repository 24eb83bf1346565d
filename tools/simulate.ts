/**
 * Runs the scenarios that come with Posthorn, each in the size of its marks, and prints what came of it. Fails when
 * something does not hold that must.
 *   node tools/simulate.ts [NAME…] [--size small] [--seed N] [--variant NAME] [--svg DIRECTORY] [--progress]
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runExperiment } from "../src/simulator/experiment.ts";
import { plotOf } from "../src/simulator/plot.ts";
import { reportText } from "../src/simulator/report-text.ts";
import { scenarioOf } from "../src/simulator/scenario.ts";
import { shippedScenarios } from "../src/simulator/scenarios/catalogue.ts";
import { scriptArguments } from "./script-arguments.ts";

const { values, positionals } = scriptArguments({
  allowPositionals: true,
  options: {
    size: { type: "string", default: "full" },
    seed: { type: "string" },
    variant: { type: "string" },
    svg: { type: "string" },
    progress: { type: "boolean", default: false },
  },
});

const wanted = shippedScenarios.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const unknown = positionals.filter((name) => !shippedScenarios.some((one) => one.name === name));
if (unknown.length > 0) throw new Error(`there is no scenario ${unknown.join(", ")}`);
const failed: string[] = [];
for (const { name, make } of wanted) {
  const startedAt = performance.now();
  let mostBytes = 0;
  const report = runExperiment(scenarioOf(make(values.size === "small" ? "small" : "full")), {
    seed: values.seed === undefined ? undefined : Number(values.seed),
    variant: values.variant,
    onProgress: (run, progress) => {
      mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
      if (values.progress)
        process.stderr.write(
          `${run}: ${(progress.now / 3_600_000).toFixed(2)} h, ${progress.events} events, ${progress.arrived} came, ${progress.ended} ended\n`,
        );
    },
  });
  mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
  const seconds = (performance.now() - startedAt) / 1000;
  process.stdout.write(reportText(report));
  process.stdout.write(`\n${seconds.toFixed(1)} s, at most ${Math.round(mostBytes / 1024 / 1024)} MiB resident\n\n`);
  if (values.svg !== undefined) writeFileSync(join(values.svg, `${name}.svg`), plotOf(report));
  if (!report.isFine) failed.push(name);
}
if (failed.length > 0) {
  process.stderr.write(`does not hold: ${failed.join(", ")}\n`);
  process.exitCode = 1;
}
