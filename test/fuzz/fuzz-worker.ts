import { parentPort, workerData } from "node:worker_threads";
import { seededRandom } from "../../src/foundation/random.ts";
import { countCode } from "./counted-code.ts";
import { loadTarget, readCorpus, TARGET_NAMES } from "./corpus-files.ts";
import { fewest, Search, shortest } from "./search.ts";
import { firstSlow, shapesOf } from "./scaling.ts";
import { below } from "./mutate.ts";
import type { FuzzOrder, FuzzReport } from "./fuzz-report.ts";
import { SHARED_HEAD_BYTES } from "./fuzz-report.ts";

/**
 * One target for a while, in a thread that can be ended where an input never does. The input being run lies in shared memory, for
 * whoever ends the thread.
 */
const SLOW_MS = 250;
const SHORTENING_MS = 20_000;
const SHAPES_AT_ONCE = 6;

const order = workerData as FuzzOrder;
if (!TARGET_NAMES.includes(order.name)) throw new Error(`no target ${order.name}`);
const code = countCode();
const target = await loadTarget(order.name);
const random = seededRandom(order.seed);
const search = new Search(target, random, code, code.literals);
const head = new Int32Array(order.shared, 0, 2);
const shown = new Uint8Array(order.shared, SHARED_HEAD_BYTES);

const report = (message: FuzzReport): void => parentPort?.postMessage(message);

async function failureOf(bytes: Buffer): Promise<string | undefined> {
  try {
    await search.run(bytes);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** Tells what broke, as short as it can be made in a few seconds. */
async function tell(bytes: Buffer, what: string): Promise<void> {
  const until = performance.now() + SHORTENING_MS;
  const kind = what.split("\n")[0]?.split(":")[0];
  const stillFails = async (shorter: Buffer): Promise<boolean> =>
    performance.now() < until && (await failureOf(shorter))?.split("\n")[0]?.split(":")[0] === kind;
  const found = await shortest(bytes, stillFails);
  report({ kind: "broken", bytes: found, what: (await failureOf(found)) ?? what });
}

async function tryOne(bytes: Buffer): Promise<boolean> {
  head[1] = Math.min(bytes.length, shown.length);
  shown.set(bytes.subarray(0, shown.length));
  Atomics.add(head, 0, 1);
  const startedAt = performance.now();
  const failure = await failureOf(bytes);
  if (failure !== undefined) {
    await tell(bytes, failure);
    return false;
  }
  if (performance.now() - startedAt < SLOW_MS) return true;
  // Once may be the machine's doing; what is slow three times more is slow.
  for (let again = 0; again < 3; again++) {
    const from = performance.now();
    await failureOf(bytes);
    if (performance.now() - from < SLOW_MS) return true;
  }
  report({ kind: "slow", bytes, what: `more than ${SLOW_MS} ms for ${bytes.length} bytes` });
  return false;
}

async function run(): Promise<void> {
  const begin = [
    ...target.seeds.map((seed) => Buffer.from(seed, "latin1")),
    ...readCorpus(order.name, "findings"),
    ...readCorpus(order.name, "paths"),
    Buffer.alloc(0),
  ];
  for (const bytes of begin) if (!(await tryOne(bytes))) return;
  const shapes = shapesOf(target);
  const from = shapes.length === 0 ? 0 : below(random, shapes.length);
  const some = [...shapes.slice(from), ...shapes.slice(0, from)].slice(0, SHAPES_AT_ONCE);
  for (const shape of some) {
    Atomics.add(head, 0, 1);
    const slow = await firstSlow(target, [shape]);
    if (slow === undefined) continue;
    const what = `${slow.shape} repeated: ${slow.shortMs.toFixed(0)} ms, four times as long ${slow.longMs.toFixed(0)} ms`;
    report({ kind: "slow", bytes: Buffer.from(shape.join("")), what });
  }
  const until = performance.now() + order.ms;
  while (performance.now() < until) if (!(await tryOne(search.nextInput()))) return;
  report({ kind: "ended", runs: search.runs, features: search.features, paths: fewest(search.kept) });
}

await run();
