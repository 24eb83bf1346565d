import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { valueForMilter, valueOfMilter } from "./field-value.ts";

const shown = (raw: string, keepsSpace: boolean): string =>
  Buffer.from(valueForMilter(Buffer.from(raw), keepsSpace)).toString();

test("one space behind the colon is not shown, a tab or a second space is", () => {
  assert.equal(shown(" hello", false), "hello");
  assert.equal(shown("  hello", false), " hello");
  assert.equal(shown("\thello", false), "\thello");
  assert.equal(shown("hello", false), "hello");
});

test("a milter that asked for it sees the space", () => {
  assert.equal(shown(" hello", true), " hello");
  assert.equal(valueOfMilter(" hello", true), " hello");
  assert.equal(valueOfMilter("hello", true), "hello");
});

test("folds are LF for the milter and CRLF for us", () => {
  assert.equal(shown(" one\r\n\ttwo", false), "one\n\ttwo");
  assert.equal(valueOfMilter("one\n\ttwo", false), " one\r\n\ttwo");
  // A byte of a character is no white space.
  assert.equal(valueOfMilter("a\n\t\xa0\n b", false), " a\r\n\t\xa0\r\n b");
  assert.equal(valueOfMilter("one\r\n two", false), " one\r\n two");
});

test("a bare CR of the mail is shown as it is", () => {
  assert.equal(shown(" a\rb", false), "a\rb");
});

test("a value cannot end the header or bring a second field", () => {
  assert.equal(valueOfMilter("x\nBcc: everybody", false), " x\r\n\tBcc: everybody");
  assert.equal(valueOfMilter("x\r\n\r\nbody", false), " x\r\n\tbody");
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", ":", " ", "\t", "\r", "\n", "\0") }),
      fc.boolean(),
      (text, keeps) => {
        const value = valueOfMilter(text, keeps);
        for (const line of value.split("\r\n").slice(1)) assert.match(line, /^[ \t]+\S/);
        assert.doesNotMatch(value.replaceAll("\r\n", ""), /[\r\n\0]/);
      },
    ),
  );
});
