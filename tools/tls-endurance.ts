/**
 * The long form of test/tls/endurance: connections whose ends are known, both ends doing what they like, and peers that
 * mean harm, on this Node and on the next. Minutes; exits with 1 when anything was not as it should be. Options:
 *   --fetch            get the next Node from the package registry first, into a temporary folder
 *   --endings N --chaos N --hostile N --seed N    as test/tls/endurance/run.ts has them
 */
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { fetchNextNode, NEXT_VERSION, nextNode } from "../test/tls/endurance/nodes.ts";
import { scriptArguments } from "./script-arguments.ts";

const RUN = join(resolve(import.meta.dirname, ".."), "test", "tls", "endurance", "run.ts");
const { values } = scriptArguments({
  options: {
    fetch: { type: "boolean", default: false },
    endings: { type: "string", default: "2400" },
    chaos: { type: "string", default: "10000" },
    hostile: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

const next = values.fetch ? fetchNextNode() : nextNode();
if (next === undefined) process.stdout.write(`Node ${NEXT_VERSION} is not here and is left out; --fetch gets it\n`);
let failed = 0;
for (const node of [process.execPath, ...(next === undefined ? [] : [next])]) {
  const counts = ["endings", "chaos", "hostile", "seed"] as const;
  const options = counts.flatMap((name) => [`--${name}`, values[name]]);
  const run = spawnSync(node, ["--disable-warning=ExperimentalWarning", RUN, ...options], { stdio: "inherit" });
  if (run.status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
