import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { seededRandom } from "../../src/foundation/random.ts";
import { loadTarget, readCorpus, TARGET_NAMES } from "./corpus-files.ts";
import { maxBytesOf } from "./fuzz-target.ts";
import { mutate } from "./mutate.ts";
import { firstSlow, shapesOf } from "./scaling.ts";

/** The same ones in each run; `npm run fuzz` is for others. */
const CHANGED_INPUTS = 60;
const SHAPES = 4;

const targets = await Promise.all(TARGET_NAMES.map(async (name) => ({ name, target: await loadTarget(name) })));

for (const { name, target } of targets) {
  const begin = [
    ...target.seeds.map((seed) => Buffer.from(seed, "latin1")),
    ...readCorpus(name, "findings"),
    ...readCorpus(name, "paths"),
    Buffer.alloc(0),
  ];
  const run = async (bytes: Buffer): Promise<void> => {
    try {
      await target.run(bytes);
    } catch (error) {
      throw new Error(`with the input ${JSON.stringify(bytes.toString("latin1"))}`, { cause: error });
    }
  };
  suite(`hostile input: ${name}`, () => {
    test("what was found once, and every path that is known, ends well", async () => {
      assert.ok(target.seeds.length > 0);
      for (const bytes of begin) await run(bytes);
    });

    test("changes to those end well", async () => {
      const random = seededRandom(1982);
      const words = (target.tokens ?? []).map((token) => Buffer.from(token, "latin1"));
      for (let count = 0; count < CHANGED_INPUTS; count++) {
        const parent = begin[count % begin.length] ?? Buffer.alloc(0);
        await run(mutate(parent, random, { words, others: begin, maxBytes: maxBytesOf(target) }));
      }
    });

    test("long input takes time as its length, not as its square", async () => {
      const slow = await firstSlow(target, shapesOf(target).slice(0, SHAPES));
      assert.equal(slow, undefined);
    });
  });
}
