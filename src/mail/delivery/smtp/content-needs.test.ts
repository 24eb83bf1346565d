import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ContentScan } from "./content-needs.ts";

function needs(text: string, cut = text.length) {
  const scan = new ContentScan();
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += Math.max(1, cut)) scan.push(bytes.subarray(at, at + Math.max(1, cut)));
  return scan.end();
}

test("content needs what it holds, header and body told apart", () => {
  assert.deepEqual(needs("Subject: x\r\n\r\nplain\r\n"), { content: "7bit", headerIsAscii: true });
  assert.deepEqual(needs("Subject: x\r\n\r\n\xe4\r\n"), { content: "8bit", headerIsAscii: true });
  assert.deepEqual(needs("Subject: \xe4\r\n\r\nx\r\n"), { content: "8bit", headerIsAscii: false });
  assert.equal(needs("Subject: x\r\n\r\na\0b\r\n").content, "binary");
  assert.equal(needs("Subject: x\r\n\r\na\nb\r\n").content, "binary");
  assert.equal(needs(`Subject: x\r\n\r\n${"x".repeat(998)}\r\n`).content, "7bit");
  assert.equal(needs(`Subject: x\r\n\r\n${"x".repeat(999)}\r\n`).content, "binary");
});

test("it needs the same wherever it is cut", () => {
  const text = fc
    .array(fc.constantFrom("a", "\r\n", "\r", "\n", "\xe4", "\0", "\r\n\r\n"), { maxLength: 40 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 7 }), (content, cut) =>
      assert.deepEqual(needs(content, cut), needs(content)),
    ),
  );
});
