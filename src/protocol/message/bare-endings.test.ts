import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { bareEndingFinder } from "./bare-endings.ts";

test("a CR or LF by itself is found, however the text is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("\r\n", "\r", "\n", "a", "bc"), { maxLength: 12 }), fc.nat(), (parts, cut) => {
      const text = `${parts.join("")}x`;
      const at = cut % (text.length + 1);
      const find = bareEndingFinder();
      find(Buffer.from(text.slice(0, at)));
      assert.equal(find(Buffer.from(text.slice(at))), /\r(?!\n)|(?<!\r)\n/.test(text));
    }),
  );
});
