/**
 * Rounds of faults, as many as wanted: `npm run soak:faults -- --rounds 1000`.
 *   --seed N          what is drawn; with the number of a round it repeats that round
 *   --from N          the number of the first round (default 0)
 *   --at-once N       rounds beside each other (default 2)
 *   --only A,B        these faults only
 *   --layout LAYOUT   single or split only
 * Ends with a table of faults and what became of their mail; with status 1 if a round was wrong.
 */
import { parseArgs } from "node:util";
import { allFaults } from "./all-faults.ts";
import { accountOf, lineOf, tableOf } from "./report.ts";
import { drawRound, layoutOf, playRound, type RoundResult } from "./round.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "1000" },
    seed: { type: "string", default: "20250101" },
    from: { type: "string", default: "0" },
    "at-once": { type: "string", default: "2" },
    only: { type: "string" },
    layout: { type: "string" },
  },
});
const only = values.only?.split(",");
const layout = layoutOf(values.layout);
const wanted = allFaults.filter(
  ({ name, layouts }) => (only?.includes(name) ?? true) && (layout === undefined || layouts.includes(layout)),
);
const faults = wanted.filter(({ name, missing }) => {
  const why = missing?.();
  if (why !== undefined) process.stdout.write(`${name} is left out: ${why}\n`);
  return why === undefined;
});
const seed = Number(values.seed);
const untilRound = Number(values.from) + Number(values.rounds);
const results: RoundResult[] = [];
let next = Number(values.from);
const stopping = new AbortController();
process.once("SIGINT", () => stopping.abort());

await Promise.all(
  Array.from({ length: Number(values["at-once"]) }, async () => {
    while (next < untilRound && !stopping.signal.aborted) {
      const result = await playRound(drawRound(seed, next++, faults, layout === undefined ? {} : { layout }));
      results.push(result);
      process.stdout.write(`${lineOf(seed, result)}\n`);
    }
  }),
);
process.stdout.write(`\n${tableOf(faults, results)}\n\n${accountOf(results)}\n`);
process.exitCode = results.every(({ problems }) => problems.length === 0) ? 0 : 1;
