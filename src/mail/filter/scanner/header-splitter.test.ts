import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { crlfMaker, headerSplitter } from "./header-splitter.ts";

function split(text: string, cuts: readonly number[] = []): { header: string | undefined; body: string } {
  const bytes = Buffer.from(text, "latin1");
  const splitter = headerSplitter(1000);
  let body = "";
  let from = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    body += splitter.push(bytes.subarray(from, cut))?.toString("latin1") ?? "";
    from = cut;
  }
  splitter.end();
  return { header: splitter.header()?.toString("latin1"), body };
}

test("the header ends at the empty line, whichever line ends it has; the body stays as it is", () => {
  assert.deepEqual(split("A: b\r\nC: d\r\n e\r\n\r\nbody\nmore"), {
    header: "A: b\r\nC: d\r\n e\r\n",
    body: "body\nmore",
  });
  assert.deepEqual(split("A: b\nC: d\n e\n\nbody"), { header: "A: b\r\nC: d\r\n e\r\n", body: "body" });
  assert.deepEqual(split("\r\nbody"), { header: "", body: "body" });
  assert.deepEqual(split("A: b\r\n"), { header: "A: b\r\n", body: "" });
  assert.deepEqual(split("A: b"), { header: "A: b\r\n", body: "" });
  assert.deepEqual(split(""), { header: "", body: "" });
});

test("cuts change nothing", () => {
  const text = "A: b\r\nC: d\r\n\r\nbody\r\n\r\n";
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
      assert.deepEqual(split(text, cuts), split(text));
    }),
  );
});

test("a header without end is refused at the bound", () => {
  assert.throws(() => split("x".repeat(1001)), /more than 1000 bytes/);
});

test("every line ends in CRLF afterwards, and nothing else changes, however the text was cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom("a", "\r", "\n") }), { maxLength: 6 }), (pieces) => {
      const make = crlfMaker();
      const made = pieces.map((piece) => make(Buffer.from(piece)).toString()).join("");
      assert.equal(made, pieces.join("").replace(/(?<!\r)\n/g, "\r\n"));
    }),
  );
});
