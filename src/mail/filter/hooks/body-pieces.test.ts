import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bodyPieces } from "./body-pieces.ts";
import type { BodySource } from "./effects.ts";

async function textOf(body: BodySource): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of bodyPieces(body)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString();
}

test("every kind of line end becomes CRLF", async () => {
  assert.equal(await textOf("a\nb\rc\r\nd\n\r\n"), "a\r\nb\r\nc\r\nd\r\n\r\n");
  assert.equal(await textOf("no end"), "no end");
  assert.equal(await textOf("\r"), "\r\n");
});

test("where a body is cut makes no difference", async () => {
  const bodies = fc.array(fc.string({ unit: fc.constantFrom("\r", "\n", "a", "ü") }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(bodies, async (pieces) => {
      async function* inPieces(): AsyncGenerator<string | Buffer> {
        for (const [at, piece] of pieces.entries()) yield at % 2 === 0 ? piece : Buffer.from(piece);
      }
      const whole = await textOf(pieces.join(""));
      assert.equal(await textOf(inPieces()), whole);
      assert.doesNotMatch(whole, /\r(?!\n)|(?<!\r)\n/);
      assert.equal(whole, await textOf(whole));
    }),
  );
});

test("a piece that is neither text nor bytes is refused", async () => {
  async function* wrong(): AsyncGenerator<string> {
    yield 3 as unknown as string;
  }
  await assert.rejects(textOf(wrong()), /made of texts and bytes/);
});
