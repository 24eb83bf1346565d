import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { newHistogram, percentile, record } from "./histogram.ts";
import { Profiler } from "./profiler.ts";

test("percentiles are those of the numbers, to within nine percent, whatever the numbers are", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10_000_000 }), { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (numbers, share) => {
        const histogram = newHistogram();
        for (const number of numbers) record(histogram, number);
        const exact = numbers.toSorted((one, other) => one - other)[Math.ceil(share * numbers.length) - 1] ?? 0;
        const told = percentile(histogram, share);
        assert.ok(told >= exact * 0.999 && told <= exact * 1.092, `${told} for ${exact}`);
        assert.equal(histogram.most, Math.max(...numbers));
      },
    ),
  );
});

test("nothing counted has percentiles of nothing", () => {
  assert.equal(percentile(newHistogram(), 0.5), 0);
});

test("what took longest in all comes first, sizes come last", () => {
  const profiler = new Profiler();
  for (let at = 0; at < 100; at++) profiler.add("step timer", "us", 10);
  profiler.add("step queued", "us", 5000);
  profiler.add("actions", "n", 900_000);
  assert.deepEqual(
    profiler.read().map(({ name, count, sum, most }) => [name, count, sum, most]),
    [
      ["step queued", 1, 5000, 5000],
      ["step timer", 100, 1000, 10],
      ["actions", 1, 900_000, 900_000],
    ],
  );
});
