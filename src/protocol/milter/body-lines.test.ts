import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bodyLines } from "./body-lines.ts";

function throughPieces(pieces: readonly string[]): string {
  const lines = bodyLines();
  const out = pieces.map((piece) => lines.push(Buffer.from(piece, "latin1")));
  return Buffer.concat([...out, lines.end()]).toString("latin1");
}

test("every line end becomes CRLF, and the last line gets one", () => {
  assert.equal(throughPieces(["a\nb\r\nc\rd"]), "a\r\nb\r\nc\r\nd\r\n");
  assert.equal(throughPieces(["\n\n\r\n"]), "\r\n\r\n\r\n");
  assert.equal(throughPieces(["a\r"]), "a\r\n");
});

test("an empty body stays empty", () => {
  assert.equal(throughPieces([]), "");
  assert.equal(throughPieces(["", ""]), "");
});

test("the result does not depend on how the body is cut", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "\r", "\n"), maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
      (text, cuts) => {
        const pieces: string[] = [];
        for (let at = 0, turn = 0; at < text.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1;
          pieces.push(text.slice(at, at + size));
          at += size;
        }
        assert.equal(throughPieces(pieces), throughPieces([text]));
        assert.doesNotMatch(throughPieces([text]).replaceAll("\r\n", ""), /[\r\n]/);
      },
    ),
  );
});
