import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  decodeUtf8Address,
  decodeXtext,
  encodeUtf8AddressUnitext,
  encodeUtf8AddressXtext,
  encodeXtext,
} from "./xtext.ts";

test("RFC 3461 section 4: plus, equals sign and what is not printable are encoded", () => {
  assert.equal(encodeXtext("a+b=c d\n"), "a+2Bb+3Dc+20d+0A");
  assert.deepEqual(decodeXtext("a+2Bb+3Dc"), { ok: true, value: "a+b=c" });
  for (const text of ["a=b", "a b", "+", "+2", "+2G", "ü"]) assert.ok(!decodeXtext(text).ok, text);
});

test("RFC 6533 section 3: the backslash is encoded too, surrogates and NUL are no characters", () => {
  assert.equal(encodeUtf8AddressXtext("ü\\+"), "\\x{FC}\\x{5C}\\x{2B}");
  assert.equal(encodeUtf8AddressUnitext("ü\\+"), "ü\\x{5C}\\x{2B}");
  for (const text of ["\\", "\\x{}", "\\x{D800}", "\\x{00}", "\\x{110000}", "\\x{1234567}", "a+b"])
    assert.ok(!decodeUtf8Address(text).ok, text);
});

test("property: what is encoded is decoded to itself", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
      (text) => {
        assert.deepEqual(decodeXtext(encodeXtext(text)), { ok: true, value: text });
      },
    ),
  );
  const characters = fc
    .string({
      unit: fc
        .oneof(fc.integer({ min: 1, max: 0x10ffff }), fc.integer({ min: 1, max: 0x2ff }))
        .map((code) => String.fromCodePoint(code)),
    })
    .filter((text) => text.isWellFormed());
  fc.assert(
    fc.property(characters, (text) => {
      assert.deepEqual(decodeUtf8Address(encodeUtf8AddressXtext(text)), { ok: true, value: text });
      assert.deepEqual(decodeUtf8Address(encodeUtf8AddressUnitext(text)), { ok: true, value: text });
    }),
  );
});
