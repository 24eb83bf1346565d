/**
 * What a start of a split server costs: CPU seconds of all its processes, and seconds, until it takes mail. With folders of
 * checkouts that were built, these instead of this one, in turns: `npm run build && node bench/starting.ts [--runs N] [TREE...]`.
 */
import { cpuSecondsOf } from "../test/processes.ts";
import { ROOT, startServer } from "../test/server.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values, positionals } = scriptArguments({
  options: { runs: { type: "string", default: "5" } },
  allowPositionals: true,
});
const trees = positionals.length === 0 ? [ROOT] : positionals;
const taken = new Map(trees.map((tree) => [tree, [] as { cpu: number; seconds: number }[]]));

for (let run = 0; run < Number(values.runs); run++) {
  for (const [tree, figures] of taken) {
    const startedAt = performance.now();
    await using server = await startServer({ layout: "split", tree, env: { POSTHORN_EMITTED: "1" } });
    figures.push({
      cpu: cpuSecondsOf(server.process.pid ?? 0),
      seconds: (performance.now() - startedAt) / 1000,
    });
  }
}

const middle = (numbers: readonly number[]): string =>
  (numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN).toFixed(2);
for (const [tree, figures] of taken) {
  const cpu = figures.map((figure) => figure.cpu);
  const seconds = figures.map((figure) => figure.seconds);
  process.stdout.write(
    `${tree}: ${middle(cpu)} s of CPU (${Math.min(...cpu).toFixed(2)} to ${Math.max(...cpu).toFixed(2)}), up after ${middle(seconds)} s\n`,
  );
}
