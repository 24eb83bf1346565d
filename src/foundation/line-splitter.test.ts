import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { lineSplitter } from "./line-splitter.ts";

function linesOf(chunks: readonly Uint8Array[], mostBytes: number): { lines: string[]; tooLong: number } {
  const lines: string[] = [];
  let tooLong = 0;
  const take = lineSplitter(
    mostBytes,
    (line) => lines.push(line),
    () => tooLong++,
  );
  for (const chunk of chunks) {
    take(chunk);
    // A reader's buffer is used again for what comes next.
    chunk.fill(0x58);
  }
  return { lines, tooLong };
}

test("lines are the same wherever the stream was cut", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n]/.test(text)),
        { maxLength: 8 },
      ),
      fc.array(fc.nat(40), { maxLength: 12 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const chunks: Uint8Array[] = [];
        let from = 0;
        for (const cut of cuts) {
          chunks.push(Uint8Array.from(bytes.subarray(from, from + cut)));
          from += cut;
        }
        chunks.push(Uint8Array.from(bytes.subarray(from)));
        assert.deepEqual(linesOf(chunks, 1000), { lines, tooLong: 0 });
      },
    ),
  );
});

test("a carriage return before the end of a line is no part of it, others are", () => {
  assert.deepEqual(linesOf([Buffer.from("a\r\nb\rc\n\r\n")], 10).lines, ["a", "b\rc", ""]);
});

test("a line longer than the bound is told once, and nothing behind it is taken for a line", () => {
  const chunks = ["ok\n123", "4567", "8\nlost\n", "also\n"].map((text) => Buffer.from(text));
  assert.deepEqual(linesOf(chunks, 6), { lines: ["ok"], tooLong: 1 });
});

test("a line as long as the bound is a line", () => {
  assert.deepEqual(linesOf([Buffer.from("123456\n1234567\n")], 6), { lines: ["123456"], tooLong: 1 });
});

test("lines in which anything may stand are read byte by byte", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => bytes.filter((byte) => byte !== 0x0a && byte !== 0x0d)),
      (bytes) => {
        const lines: string[] = [];
        const take = lineSplitter(100, (line) => lines.push(line), assert.fail, "latin1");
        take(Buffer.concat([bytes, Buffer.from("\r\n")]));
        assert.deepEqual(
          lines.map((line) => Buffer.from(line, "latin1")),
          [Buffer.from(bytes)],
        );
      },
    ),
  );
});
