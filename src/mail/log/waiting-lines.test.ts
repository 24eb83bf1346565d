import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { waitingLines } from "./waiting-lines.ts";

const line = (text: string, isDebug = false): { text: string; isDebug: boolean } => ({ text, isDebug });
const textsOf = (lines: readonly { text: string }[]): string[] => lines.map(({ text }) => text);

test("lines come out in the order in which they went in", () => {
  const waiting = waitingLines(100);
  for (const text of ["a", "b", "c"]) waiting.add(line(text));
  assert.deepEqual(textsOf(waiting.take(2)), ["a", "b"]);
  waiting.add(line("d"));
  assert.deepEqual(textsOf(waiting.take(10)), ["c", "d"]);
  assert.equal(waiting.isEmpty, true);
});

test("a full buffer lets debug lines go before it refuses others", () => {
  const waiting = waitingLines(4);
  waiting.add(line("d1", true));
  waiting.add(line("i1"));
  waiting.add(line("i2"));
  waiting.add(line("i3"));
  assert.deepEqual(textsOf(waiting.take(10)), ["i1", "i2"]);
  assert.deepEqual(waiting.takeLost(), { lost: 1, lostDebug: 1 });
  assert.equal(waiting.takeLost(), undefined);
});

test("what could not be written comes first again, in its order", () => {
  const waiting = waitingLines(100);
  for (const text of ["a", "b", "c"]) waiting.add(line(text));
  const taken = waiting.take(2);
  waiting.add(line("d"));
  waiting.putBack(taken);
  assert.deepEqual(textsOf(waiting.take(100)), ["a", "b", "c", "d"]);
});

test("a line longer than a batch is still taken", () => {
  const waiting = waitingLines(100);
  waiting.add(line("longer than three"));
  assert.deepEqual(textsOf(waiting.take(3)), ["longer than three"]);
});

test("what a line has besides its text counts, and is left behind when half of the room is taken", () => {
  const waiting = waitingLines<{ text: string; isDebug: boolean; besides: number }>(100, (one) => ({
    ...one,
    besides: 0,
  }));
  for (let number = 0; number < 40; number++) waiting.add({ text: `${number + 10}`, isDebug: false, besides: 18 });
  assert.deepEqual(
    waiting.take(40).map(({ text, besides }) => [text, besides]),
    [
      ["10", 18],
      ["11", 18],
    ],
  );
  const rest = waiting.take(1000);
  assert.equal(rest.length, 30);
  assert.ok(rest.every(({ besides }) => besides === 0));
  waiting.putBack(rest);
  assert.equal(waiting.take(1000).length, 30);
  waiting.add({ text: "x", isDebug: false, besides: 49 });
  assert.deepEqual(waiting.takeLost(), { lost: 8, lostDebug: 0 });
});

test("whatever is added: every line comes out in order or is counted, and no other is lost while debug remains", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ size: fc.integer({ min: 1, max: 9 }), isDebug: fc.boolean() })), (shapes) => {
      const waiting = waitingLines<{ text: string; isDebug: boolean; number: number }>(20);
      const out: { number: number; isDebug: boolean }[] = [];
      shapes.forEach(({ size, isDebug }, number) => {
        waiting.add({ text: "x".repeat(size), isDebug, number });
        if (number % 5 === 4) out.push(...waiting.take(7));
      });
      out.push(...waiting.take(1000));
      const counts = waiting.takeLost() ?? { lost: 0, lostDebug: 0 };
      assert.equal(out.length + counts.lost + counts.lostDebug, shapes.length);
      assert.equal(
        out.filter(({ isDebug }) => !isDebug).length + counts.lost,
        shapes.filter(({ isDebug }) => !isDebug).length,
      );
      assert.deepEqual(
        out.map(({ number }) => number),
        out.map(({ number }) => number).sort((a, b) => a - b),
      );
    }),
  );
});
