import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { allTexts, cut, cuts } from "../../testing/cut.ts";
import { DataReceiver } from "./data-receiver.ts";
import { DotStuffer } from "./dot-stuffer.ts";

function stuff(...pieces: readonly Buffer[]): Buffer {
  const stuffer = new DotStuffer();
  return Buffer.concat([...pieces.flatMap((piece) => stuffer.push(piece)), ...stuffer.end()]);
}

function stuffText(text: string): string {
  return stuff(Buffer.from(text, "latin1")).toString("latin1");
}

/** What the content is once it can be sent by DATA at all. */
function sendable(text: string): string {
  const lines = text.replaceAll("\0", "").replace(/\r\n|\r|\n/g, "\r\n");
  return lines === "" || lines.endsWith("\r\n") ? lines : `${lines}\r\n`;
}

test("dots at line starts are doubled and the end mark follows a whole line", () => {
  assert.equal(stuffText("a\r\n.b\r\n"), "a\r\n..b\r\n.\r\n");
  assert.equal(stuffText(".\r\n"), "..\r\n.\r\n");
  assert.equal(stuffText("a.b"), "a.b\r\n.\r\n");
  assert.equal(stuffText(""), ".\r\n");
});

test("what we send has no CR or LF alone, and a dot behind one is doubled as at any line start", () => {
  assert.equal(stuffText("a\n.\nMAIL"), "a\r\n..\r\nMAIL\r\n.\r\n");
  assert.equal(stuffText("a\r.\rMAIL\r"), "a\r\n..\r\nMAIL\r\n.\r\n");
});

test("a NUL cannot hide a dot from us that the next host sees", () => {
  assert.equal(stuffText("a\r\n\0.\r\nMAIL\r\n"), "a\r\n..\r\nMAIL\r\n.\r\n");
  assert.equal(stuffText("a\r\0\n.\r\n"), "a\r\n..\r\n.\r\n");
});

test("every text of CR, LF, dot, NUL and a letter arrives as one message, for strict and for lax receivers", () => {
  for (const text of allTexts(["\r", "\n", ".", "\0", "a"], 5)) {
    const wire = stuffText(text);
    assert.doesNotMatch(wire, /\r(?!\n)|(?<!\r)\n|\0/, JSON.stringify(text));
    const receiver = new DataReceiver("keep");
    const { content, rest } = receiver.push(Buffer.from(wire, "latin1"));
    assert.equal(rest?.length, 0, JSON.stringify(text));
    assert.equal(Buffer.concat(content).toString("latin1"), sendable(text), JSON.stringify(text));
  }
});

test("property: any cut of the content goes over the wire the same", () => {
  const contents = fc
    .array(fc.constantFrom("\r\n", "\r\n.", "..", "\n.", "\r", "\n", "\0", ".", "text", "\xe9"), { maxLength: 30 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(contents, cuts, (text, offsets) => {
      const bytes = Buffer.from(text, "latin1");
      assert.deepEqual(stuff(...cut(bytes, offsets)), stuff(bytes));
    }),
    { numRuns: 300 },
  );
});
