import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { saslprep } from "./saslprep.ts";

test("the examples of RFC 4013 section 3", () => {
  assert.equal(saslprep("I\u00adX"), "IX");
  assert.equal(saslprep("user"), "user");
  assert.equal(saslprep("USER"), "USER");
  assert.equal(saslprep("\u00aa"), "a");
  assert.equal(saslprep("\u2168"), "IX");
  assert.equal(saslprep("\u0007"), undefined);
  assert.equal(saslprep("\u06271"), undefined);
});

test("spaces of all kinds are one, and both ways to write a letter are", () => {
  assert.equal(saslprep("a\u00a0b\u3000c"), "a b c");
  assert.equal(saslprep("jo\u0308rg"), "jörg");
});

test("text from right to left is let through whole, mixed text is not, nor is what has no meaning in a name", () => {
  assert.equal(saslprep("\u0627\u0628"), "\u0627\u0628");
  assert.equal(saslprep("\u06271\u0628"), "\u06271\u0628");
  assert.equal(saslprep("a\u0628"), undefined);
  for (const text of ["\ud800", "\ue000", "\ufdd0", "\u202e", "\ufffd", "\u{e0041}"])
    assert.equal(saslprep(text), undefined);
});

test("property: what is prepared once stays as it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const once = saslprep(text);
      if (once !== undefined) assert.equal(saslprep(once), once);
    }),
  );
});
