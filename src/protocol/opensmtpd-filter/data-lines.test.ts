import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { contentBytes, contentLine, END_OF_DATA, LineCutter } from "./data-lines.ts";

function linesOf(chunks: readonly Buffer[], mostBytes = 1000): { lines: readonly string[]; isTooLong: boolean } {
  const cutter = new LineCutter(mostBytes);
  const lines = chunks.flatMap((chunk) => {
    const found = cutter.push(chunk);
    chunk.fill(0x58);
    return found;
  });
  return { lines: [...lines, ...cutter.end()], isTooLong: cutter.isTooLong };
}

function cutUp(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => Buffer.from(bytes.subarray(from, at[index] ?? bytes.length)));
}

test("content becomes lines without their ends, with dots doubled", () => {
  assert.deepEqual(linesOf([Buffer.from("Subject: x\r\n\r\n.\r\n..a\r\nno end")]).lines, [
    "Subject: x",
    "",
    "..",
    "...a",
    "no end",
  ]);
});

test("a line feed alone ends a line too", () => {
  assert.deepEqual(linesOf([Buffer.from("a\nb\r\n")]).lines, ["a", "b"]);
});

test("content comes back from its lines as it was, wherever it was cut", () => {
  const line = fc
    .uint8Array({ maxLength: 12 })
    .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x0a && byte !== 0x0d)));
  fc.assert(
    fc.property(
      fc.array(fc.oneof(line, fc.constantFrom(Buffer.from("."), Buffer.from("..x"))), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(200), { maxLength: 6 }),
      (all, cuts) => {
        const content = Buffer.concat(all.flatMap((one) => [one, Buffer.from("\r\n")]));
        const { lines, isTooLong } = linesOf(cutUp(content, cuts));
        assert.equal(isTooLong, false);
        assert.ok(!lines.includes(END_OF_DATA));
        assert.deepEqual(contentBytes(lines.map(contentLine)), content);
      },
    ),
  );
});

test("a line that is too long is told, and not kept", () => {
  assert.equal(linesOf([Buffer.alloc(60, 0x61), Buffer.alloc(60, 0x61)], 100).isTooLong, true);
  assert.equal(linesOf([Buffer.from(`${"a".repeat(100)}\n${"a".repeat(100)}\n`)], 100).isTooLong, false);
});

test("a carriage return in a program's line is a line's end in content", () => {
  assert.equal(contentBytes(["a\rb", "c\r"]).toString(), "a\r\nb\r\nc\r\n");
});
