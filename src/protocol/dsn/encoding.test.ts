import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { hasLongLine, isLineText, quotedPrintable } from "./encoding.ts";

/** Written from RFC 2045 section 6.7, for the tests. */
function decode(text: string): string {
  return text
    .replace(/=\r\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

test("quoted-printable gives back what went in, in short lines of ASCII without blanks at their ends", () => {
  const line = fc.string({
    unit: fc.constantFrom("a", " ", "\t", "=", "\u00e9", "\u00ff", "\0", ".", "~", "\r"),
    maxLength: 200,
  });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
      const text = lines.join("\r\n").replace(/\r(?!\n)/g, "");
      const encoded = quotedPrintable(Buffer.from(text, "latin1")).toString("latin1");
      assert.equal(decode(encoded), text);
      for (const each of encoded.split("\r\n")) {
        assert.ok(each.length <= 76);
        assert.match(each, /^[\x20-\x7e\t]*$/);
        assert.ok(!/[ \t]$/.test(each));
      }
    }),
  );
});

test("a line of 998 octets is as long as a line may be", () => {
  assert.ok(!hasLongLine(Buffer.from(`${"x".repeat(998)}\r\n${"x".repeat(998)}`)));
  assert.ok(hasLongLine(Buffer.from(`a\r\n${"x".repeat(1000)}\r\n`)));
});

test("text of lines has no CR or LF by itself, and no NUL", () => {
  for (const good of ["", "a", "a\r\n", "\r\n\r\nb"]) assert.ok(isLineText(Buffer.from(good)), JSON.stringify(good));
  for (const bad of ["\n", "\r", "a\r\r\n", "a\n\r\n", "\r\n\n", "\0", "a\r"])
    assert.ok(!isLineText(Buffer.from(bad)), JSON.stringify(bad));
});
