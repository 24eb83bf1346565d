import assert from "node:assert/strict";
import { test } from "node:test";
import { allFaults, faultsHere } from "../crash/faults/all-faults.ts";
import { accountOf, lineOf, tableOf } from "../crash/faults/report.ts";
import { drawRound, playRound, type RoundResult } from "../crash/faults/round.ts";

const ROUNDS = 32;
/** Rounds of one test, and beside each other. */
const PORTION = 8;
const AT_ONCE = 3;
const seed = Number(process.env["POSTHORN_CRASH_SEED"] ?? 20250102);
const results: RoundResult[] = [];

for (let first = 0; first < ROUNDS; first += PORTION)
  test(
    `rounds of faults ${first} to ${first + PORTION - 1}: nothing that was answered 250 is missing, nothing is repeated without need`,
    { timeout: 900_000 },
    async (t) => {
      const faults = faultsHere(t);
      const left = Array.from({ length: PORTION }, (_, index) => first + index);
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let round = left.shift(); round !== undefined; round = left.shift()) {
            const result = await playRound(drawRound(seed, round, faults));
            results.push(result);
            t.diagnostic(lineOf(seed, result));
            assert.deepEqual(result.problems, [], `round ${round} of seed ${seed}; its folder is ${result.folder}`);
          }
        }),
      );
    },
  );

test("every fault that can be played here was played", (t) => {
  const faults = faultsHere(t);
  t.diagnostic(`\n${tableOf(allFaults, results)}\n${accountOf(results)}`);
  for (const { name } of faults)
    assert.ok(
      results.some((result) => result.faults.some((fault) => fault.name === name)),
      `${name} was not`,
    );
});
