import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { netstring, netstringReader, type NetstringHeard } from "./netstring.ts";

function read(bytes: Uint8Array, cuts: readonly number[] = [], mostBytes = 1000): readonly NetstringHeard[] {
  const reader = netstringReader(mostBytes);
  const heard: NetstringHeard[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    heard.push(...reader(bytes.subarray(from, Math.max(from, cut))));
    from = Math.max(from, cut);
  }
  return heard;
}

test("a netstring is the length in bytes, a colon, the bytes and a comma", () => {
  assert.equal(netstring("hello world!").toString(), "12:hello world!,");
  assert.equal(netstring("").toString(), "0:,");
  assert.equal(netstring("ü").toString(), "2:ü,");
});

test("what was written is read, wherever the stream was cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }), { maxLength: 5 }),
      fc.array(fc.nat(60), { maxLength: 8 }),
      (texts, cuts) => {
        const bytes = Buffer.concat(texts.map(netstring));
        assert.deepEqual(
          read(
            bytes,
            cuts.toSorted((a, b) => a - b),
          ),
          texts.map((text) => ({ kind: "string", text })),
        );
      },
    ),
  );
});

test("what is no netstring, or a longer one than allowed, is broken, and nothing behind it is read", () => {
  for (const text of ["hello", ":,", "3:abcd,", "-1:,", "00:,", "01:a,", "1001:", "9999999999:", " 1:a,", "1 :a,"]) {
    const [first, ...rest] = read(Buffer.from(`${text}1:a,`));
    assert.equal(first?.kind, "broken", text);
    assert.deepEqual(rest, [], text);
  }
});

test("a string as long as allowed is read", () => {
  assert.equal(read(netstring("x".repeat(1000)))[0]?.kind, "string");
});

test("no bytes make the reader throw or keep more than allowed", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 })), (chunks) => {
      const reader = netstringReader(100);
      for (const chunk of chunks) reader(chunk);
    }),
  );
});
