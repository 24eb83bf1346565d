/**
 * Rounds of faults, as many as wanted: `npm run soak:faults -- --rounds 1000`. Ends with a table of faults and what became of their mail;
 * with status 1 if a round was wrong, or none was played.
 */
import { commandLine } from "../../../tools/command-line.ts";
import { LAYOUTS } from "../../server.ts";
import { allFaults } from "./all-faults.ts";
import { accountOf, lineOf, tableOf } from "./report.ts";
import { drawRound, layoutOf, playRound, type RoundResult } from "./round.ts";

const count = { least: 1, whole: true };
const values = commandLine("soak:faults", "rounds of servers under load, with one to three faults in each", {
  rounds: { value: "N", says: "how many", default: "1000", number: count },
  seed: {
    value: "N",
    says: "what is drawn; with the number of a round it repeats that round",
    default: "20250101",
    number: { least: 0, whole: true },
  },
  from: { value: "N", says: "the number of the first round", default: "0", number: { least: 0, whole: true } },
  "at-once": { value: "N", says: "rounds beside each other", default: "2", number: count },
  only: {
    value: "FAULT,...",
    says: "these faults only",
    among: { names: allFaults.map(({ name }) => name), many: true },
  },
  layout: { value: "LAYOUT", says: "this layout only", among: { names: LAYOUTS, many: false } },
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
if (faults.length === 0) {
  process.stderr.write("soak:faults: none of these faults can be played here in this layout\n");
  process.exit(2);
}
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
process.exitCode = results.length > 0 && results.every(({ problems }) => problems.length === 0) ? 0 : 1;
