import assert from "node:assert/strict";
import { stripTypeScriptTypes } from "node:module";
import { test } from "node:test";
import { seededRandom } from "../../src/foundation/random.ts";
import { COUNTERS, instrument } from "./instrument.ts";
import { fewest, Search, shortest } from "./search.ts";

const PUZZLE = `
  export function open(text: string): string {
    if (text[0] === "q") {
      const twice = (part?: string): boolean => part === "w" || part === "W";
      for (const part of [text[1]]) if (twice(part)) return text[2] === "e" ? (text[3] === "r" ? "open" : "nearly") : "two";
      return "one";
    } else return text.length > 3 && text.endsWith("z") ? "other" : "none";
  }`;

/** The code with counters, as a module; the same one each time. */
let loaded: ReturnType<typeof load> | undefined;
const counted = (): ReturnType<typeof load> => (loaded ??= load());

async function load(): Promise<{ open: (text: string) => string; counts: Uint32Array; used: number }> {
  const { code, counters } = instrument("puzzle.ts", PUZZLE, 0);
  const counts = new Uint32Array(counters);
  const own = code.replaceAll(`globalThis.${COUNTERS}`, `globalThis.puzzleCounters`);
  Object.assign(globalThis, { puzzleCounters: counts });
  const module = (await import(`data:text/javascript,${encodeURIComponent(stripTypeScriptTypes(own))}`)) as {
    open: (text: string) => string;
  };
  return { open: module.open, counts, used: counters };
}

test("code with counters does what it did, and counts", async () => {
  const { open, counts } = await counted();
  assert.deepEqual(["", "q", "qw", "qwe", "qWer", "abcz"].map(open), ["none", "one", "two", "nearly", "open", "other"]);
  assert.ok(
    counts.every((count) => count > 0),
    counts.join(" "),
  );
});

test("the search finds its way to what no input at random would come upon", async () => {
  const { open, counts, used } = await counted();
  const found: string[] = [];
  const run = (bytes: Buffer): void => {
    if (open(bytes.toString("latin1")) === "open") found.push(bytes.toString("latin1"));
  };
  const search = new Search({ run, seeds: ["aaaa"] }, seededRandom(1), { counts, used: () => used }, []);
  await search.run(Buffer.from("aaaa"));
  while (found.length === 0 && search.runs < 300_000) await search.run(search.nextInput());
  assert.match(found[0] ?? "", /^q[wW]er/);
  const kept = fewest(search.kept);
  assert.ok(kept.length <= search.kept.length && kept.length > 1);
});

test("what breaks something is made as short as it can be", async () => {
  const found = await shortest(Buffer.from("xxxxaxxxxxbxxx"), async (bytes) => /a.*b/.test(bytes.toString()));
  assert.equal(found.toString(), "ab");
});
