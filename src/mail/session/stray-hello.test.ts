import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isTlsHello, StrayHello } from "./stray-hello.ts";

const RECORD = Buffer.concat([Buffer.from("160301000a", "hex"), Buffer.alloc(10, 1)]);

test("a ClientHello is whole when its record is, wherever it was cut, and nothing behind it is kept for long", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: RECORD.length - 1 })), (cuts) => {
      const at = [0, ...new Set(cuts.toSorted((a, b) => a - b)), RECORD.length];
      const pieces = at.slice(1).map((end, index) => RECORD.subarray(at[index], end));
      const [first = RECORD, ...rest] = pieces;
      const hello = new StrayHello(first);
      for (const [index, piece] of rest.entries()) {
        assert.equal(hello.isWhole, false, `before piece ${index + 1}`);
        hello.push(piece);
      }
      assert.equal(hello.isWhole, true);
      assert.deepEqual(hello.bytes, RECORD);
      hello.push(Buffer.alloc(1000));
      assert.equal(hello.bytes.length, RECORD.length);
    }),
  );
});

test("no more than one record's worth is waited for, whatever length it says", () => {
  const hello = new StrayHello(Buffer.from("160301ffff", "hex"));
  hello.push(Buffer.alloc(16_000));
  assert.equal(hello.isWhole, false);
  hello.push(Buffer.alloc(384));
  assert.equal(hello.isWhole, true);
});

test("text is no ClientHello", () => {
  for (const text of ["EHLO x\r\n", "\x15\x03", "\x16\x02", ""])
    assert.equal(isTlsHello(Buffer.from(text, "latin1")), false);
  for (const text of ["\x16", "\x16\x03\x01"]) assert.equal(isTlsHello(Buffer.from(text, "latin1")), true);
});
