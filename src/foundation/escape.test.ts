import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeControls, harmlessJson } from "./escape.ts";

test("what a terminal or a log reader could act on is written out", () => {
  assert.equal(escapeControls("a\r\nb"), "a\\x0d\\x0ab");
  assert.equal(escapeControls("\u001b[2J"), "\\x1b[2J");
  assert.equal(escapeControls("\u009b31m\u2028\u202e"), "\\x9b31m\\u2028\\u202e");
  assert.equal(escapeControls("\ud800x"), "\\ud800x");
});

test("ordinary text, in any script, stays as it is", () => {
  for (const text of ["postmaster@example.org", "δοκιμή@παράδειγμα.δοκιμή", "🎺 posthorn", ""])
    assert.equal(escapeControls(text), text);
});

test("no control character survives, and two texts never look the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      assert.doesNotMatch(escapeControls(a), /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
      if (a !== b) assert.notEqual(escapeControls(a), escapeControls(b));
    }),
  );
});

test("JSON holds no control character either, is one line, and means the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const json = harmlessJson({ text });
      assert.doesNotMatch(json, /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e]/u);
      assert.deepEqual(JSON.parse(json), { text });
    }),
  );
});
