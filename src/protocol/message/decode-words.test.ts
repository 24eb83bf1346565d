import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeWords } from "./decode-words.ts";
import { encodeWords } from "./encoded-word.ts";

test("encoded words are read in either encoding, in the charset they name", () => {
  assert.equal(
    decodeWords("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <k@example.org>"),
    "Keld Jørn Simonsen <k@example.org>",
  );
  assert.equal(decodeWords("Re: =?utf-8?B?R3LDvMOfZQ==?="), "Re: Grüße");
  assert.equal(decodeWords("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?="), "Grüße");
});

test("white space between two encoded words is no text, and between word and text it is", () => {
  assert.equal(decodeWords("=?utf-8?Q?a?= \t=?utf-8?Q?b?= c"), "ab c");
});

test("what is in no charset we know, or is no encoded word, stays as it is", () => {
  assert.equal(decodeWords("=?klingon?Q?a?="), "=?klingon?Q?a?=");
  assert.equal(decodeWords("2 =? 3 ?="), "2 =? 3 ?=");
});

test("what we encode is read as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      fc.pre(!/=\?/.test(text) && text.isWellFormed());
      assert.equal(decodeWords(encodeWords(text)), text);
    }),
  );
});
