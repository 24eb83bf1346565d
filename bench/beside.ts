/**
 * Whether a change makes a message cheaper: this checkout beside another one.
 *
 *     npm run build && node bench/beside.ts OTHER [--load each] [--layout single] [--starts 4] [--rounds 5] [--messages 4000]
 *
 * OTHER is a checkout with its own `node_modules`, built too. A server of each is started anew `--starts` times, for what V8 makes of
 * the same code differs by a tenth from start to start; behind a warm-up they get the loads of `profile/loads.ts` by turns, so that a
 * slow hour of the machine falls on both. What comes out are ratios, this one by the other, with their standard error over the
 * starts: four starts of five rounds tell apart what differs by some 4 %, and take four minutes. `--load` and `--layout` take several,
 * with commas. The two may be the same folder, which shows what the machine makes of no difference.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { LAYOUTS, ROOT, type Layout } from "../test/server.ts";
import { scriptArguments } from "../tools/script-arguments.ts";
import { processorTime, stolenShare } from "./comparison/stolen.ts";
import { chosen, LOAD_NAMES, startWarm, titleOf, type Load } from "./profile/loads.ts";
import { ratiosOf, type Figures } from "./profile/ratios.ts";

/** So many make V8 compile what it will. */
const WARM_UP_MESSAGES = 20_000;

const { values, positionals } = scriptArguments({
  allowPositionals: true,
  options: {
    load: { type: "string", default: "each" },
    layout: { type: "string", default: "single" },
    starts: { type: "string", default: "4" },
    rounds: { type: "string", default: "5" },
    messages: { type: "string", default: "4000" },
  },
});
const [other] = positionals;
if (other === undefined || positionals.length > 1) throw new Error("expected one folder: the checkout to compare with");
const [starts, rounds, messages] = [Number(values.starts), Number(values.rounds), Number(values.messages)];
if (!(starts >= 2 && rounds >= 1)) throw new Error("--starts is a number from 2, --rounds one from 1");
if (!(messages >= 100)) throw new Error("--messages is a number from 100");
const layouts = chosen(values.layout, LAYOUTS, "layout");
const loads = chosen(values.load, LOAD_NAMES, "load");

const theirs = (await import(pathToFileURL(resolve(other, "bench/profile/loads.ts")).href)) as {
  readonly startWarm: typeof startWarm;
};
for (const load of loads)
  for (const layout of layouts) {
    process.stdout.write(`${titleOf(layout, load)}: ${ROOT} by ${resolve(other)}\n`);
    const timeBefore = processorTime();
    const each: { ours: Figures[]; theirs: Figures[] }[] = [];
    for (let start = 0; start < starts; start++) each.push(await oneStart(layout, load));
    for (const [what, { ratio, error, perStart }] of Object.entries(ratiosOf(each)))
      process.stdout.write(
        `  ${what} ${ratio.toFixed(3)} ± ${error.toFixed(3)} (${perStart.map((one) => one.toFixed(2)).join(", ")})\n`,
      );
    const stolen = stolenShare(timeBefore, processorTime());
    process.stdout.write(`  the machine's host took ${(stolen * 100).toFixed(0)} % of its processors meanwhile\n`);
  }
process.exit(0);

async function oneStart(layout: Layout, load: Load): Promise<{ ours: Figures[]; theirs: Figures[] }> {
  const warmUp = { nodeOptions: "", messages: WARM_UP_MESSAGES };
  await using mine = await startWarm(layout, load, warmUp);
  await using another = await theirs.startWarm(layout, load, warmUp);
  const found: { ours: Figures[]; theirs: Figures[] } = { ours: [], theirs: [] };
  for (let round = 0; round < rounds; round++) {
    const turns = [
      { server: mine, figures: found.ours },
      { server: another, figures: found.theirs },
    ];
    for (const { server, figures } of round % 2 === 0 ? turns : turns.toReversed()) {
      // While the other had its turn this one has rested, and V8 has let go of some of its code.
      await server.under(messages / 4);
      const { perSecond, cpuMsPerMessage } = await server.under(messages);
      figures.push({ perSecond, cpuUs: cpuMsPerMessage * 1000 });
      process.stdout.write(
        `  ${server === mine ? "this" : "other"} ${perSecond.toFixed(0)}/s, ${(cpuMsPerMessage * 1000).toFixed(0)} µs\n`,
      );
    }
  }
  return found;
}
