import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { fold, formatField, sanitiseWord, unfold } from "./field.ts";
import { encodeWords } from "./encoded-word.ts";

test("long fields are folded in front of blanks", () => {
  const text = formatField("Subject", "word ".repeat(40));
  assert.ok(text.split("\r\n").every((line) => line.length <= 78));
  assert.equal(unfold(text), `Subject: ${"word ".repeat(40).trim()}`);
});

test("a value cannot begin another field or the body", () => {
  assert.equal(formatField("X", "a\r\nBcc: b@c\r\n\r\nbody"), "X: a Bcc: b@c body\r\n");
  assert.equal(formatField("X", "a\nb\rc\0d\u0085e\u2028f"), "X: a b c d e f\r\n");
});

test("words of peers keep only what names, addresses and ids are made of", () => {
  assert.equal(sanitiseWord("mx-1.example"), "mx-1.example");
  assert.equal(sanitiseWord("[IPv6:::1]"), "[IPv6:::1]");
  assert.equal(sanitiseWord("a b(c)<d>;\r\n"), "a?b?c??d????");
  assert.equal(sanitiseWord("x".repeat(300)).length, 255);
});

const values = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "bc", " ", "\t", "é", "😀", ","), maxLength: 300, size: "max" }),
  fc.string({ unit: fc.constantFrom("x", "é"), minLength: 990, maxLength: 2500, size: "max" }),
);

test("property: no line passes 998 octets or holds only blanks, and unfolding gives back what had a place to fold", () => {
  fc.assert(
    fc.property(values, (value) => {
      const line = `Name: ${value}`.trimEnd();
      const folded = fold(line);
      const lines = folded.split("\r\n");
      for (const part of lines) {
        assert.ok(Buffer.byteLength(part) <= 998);
        assert.match(part, /\S/);
      }
      for (const part of lines.slice(1)) assert.match(part, /^[ \t]/);
      if (!/\S{800}/.test(value) && !/[ \t]{50}/.test(value)) assert.equal(unfold(folded), line);
    }),
  );
});

test("RFC 2047: text beyond ASCII becomes encoded words of at most 75 characters, ASCII stays", () => {
  assert.equal(encodeWords("plain text"), "plain text");
  assert.equal(encodeWords("Grüße"), "=?UTF-8?B?R3LDvMOfZQ==?=");
  assert.match(encodeWords("looks =?like?= one"), /^=\?UTF-8\?B\?/);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("ü", "😀", "a", " "), minLength: 1 }), (text) => {
      const words = encodeWords(`ü${text}`).split(" ");
      const decoded = words.map((word) => {
        assert.ok(word.length <= 75);
        const piece = Buffer.from(word.slice("=?UTF-8?B?".length, -2), "base64").toString("utf8");
        assert.ok(!piece.includes("\ufffd"));
        return piece;
      });
      assert.equal(decoded.join(""), `ü${text}`);
    }),
  );
});
