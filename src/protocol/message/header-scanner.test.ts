import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { cut, cuts } from "../../testing/cut.ts";
import { HeaderScanner, type HeaderSummary } from "./header-scanner.ts";

function scan(pieces: readonly (string | Buffer)[], maxHeaderBytes = 10_000): HeaderSummary {
  const scanner = new HeaderScanner({ maxHeaderBytes });
  for (const piece of pieces) scanner.push(typeof piece === "string" ? Buffer.from(piece) : piece);
  return scanner.end();
}

test("hops are counted, wanted fields kept, and the body is found", () => {
  const header = "Received: from a\r\n\tby b\r\nRECEIVED : c\r\nMessage-ID:\r\n <1@a>\r\nFrom: ü\r\nX-Received: no\r\n";
  const summary = scan([`${header}\r\nReceived: in the body\r\n`]);
  assert.equal(summary.receivedCount, 2);
  assert.equal(summary.fieldCount, 5);
  assert.equal(summary.headerBytes, Buffer.byteLength(header));
  assert.equal(summary.bodyAt, summary.headerBytes + 2);
  assert.equal(summary.endedBy, "empty-line");
  assert.deepEqual(
    summary.values,
    new Map([
      ["message-id", ["<1@a>"]],
      ["from", ["ü"]],
    ]),
  );
});

test("a line that is no field begins the body", () => {
  for (const line of ["hello world\r\n", "no-colon\r\n", ": x\r\n", "a b: c\r\n", "\u00fc: x\r\n"]) {
    const summary = scan([`A: b\r\n${line}Received: x\r\n`]);
    assert.equal(summary.endedBy, "no-field", line);
    assert.equal(summary.bodyAt, 6);
    assert.equal(summary.receivedCount, 0);
  }
  assert.equal(scan([" A: continuation of nothing\r\n"]).endedBy, "no-field");
});

test("a message may be only fields, only a body, or nothing", () => {
  const onlyFields = scan(["A: b\r\nReceived: x\r\n"]);
  assert.deepEqual([onlyFields.endedBy, onlyFields.bodyAt, onlyFields.receivedCount], ["end-of-content", 19, 1]);
  const cutOff = scan(["A: b\r\nReceived: x"]);
  assert.deepEqual([cutOff.endedBy, cutOff.bodyAt, cutOff.receivedCount], ["end-of-content", 17, 1]);
  const onlyBody = scan(["\r\nbody"]);
  assert.deepEqual([onlyBody.endedBy, onlyBody.bodyAt], ["empty-line", 2]);
  assert.deepEqual([scan([]).endedBy, scan([]).bodyAt], ["end-of-content", 0]);
});

test("a header section of the limit passes, a longer one is told", () => {
  const header = `A: ${"x".repeat(95)}\r\n`;
  assert.equal(scan([`${header}\r\nbody`], 100).endedBy, "empty-line");
  assert.equal(scan([`${header}B: y\r\n\r\nbody`], 100).endedBy, "limit");
  assert.equal(
    scan(
      Array.from({ length: 100 }, () => "A: x"),
      100,
    ).endedBy,
    "limit",
  );
});

test("a field of a megabyte is kept in its beginning only", () => {
  const summary = scan(
    ["Message-ID: ", ...Array.from({ length: 100 }, () => "x".repeat(10_000)), "\r\n\r\n"],
    2_000_000,
  );
  assert.equal(summary.endedBy, "empty-line");
  assert.equal(summary.headerBytes, 1_000_014);
  const [value] = summary.values.get("message-id") ?? [];
  assert.ok(value !== undefined && value.length <= 4096);
});

test("property: any cut of the bytes gives the same summary", () => {
  const contents = fc
    .array(
      fc.constantFrom(
        "Received: x\r\n",
        "Message-ID: <a@b>\r\n",
        "Date",
        ":",
        " ",
        "\r\n",
        "\n",
        "\r",
        "From: ü\r\n",
        " more\r\n",
        "\t\r\n",
        "text",
      ),
      { maxLength: 20 },
    )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(contents, cuts, fc.constantFrom(20, 60, 1000), (text, offsets, max) => {
      const bytes = Buffer.from(text);
      assert.deepEqual(scan(cut(bytes, offsets), max), scan([bytes], max));
    }),
    { numRuns: 500 },
  );
});

test("property: a line longer than what is kept gives the same summary in any cut", () => {
  const contents = fc
    .array(fc.constantFrom("x".repeat(3000), "Message-ID:", "\r\n", " ", "\r\n\r\n"), { maxLength: 8 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(contents, fc.array(fc.nat(20_000), { maxLength: 8 }), (text, offsets) => {
      const bytes = Buffer.from(text);
      assert.deepEqual(scan(cut(bytes, offsets), 100_000), scan([bytes], 100_000));
    }),
    { numRuns: 300 },
  );
});
