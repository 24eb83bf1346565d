import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatLocal, parseMailbox } from "../../../protocol/address/mailbox.ts";
import { parseVerpDelimiters, usualVerp, verpSender } from "./verp.ts";

test("the recipient is written into the sender", () => {
  assert.equal(
    verpSender("bounces@list.example", "user@example.org", usualVerp),
    "bounces+user=example.org@list.example",
  );
  assert.equal(
    verpSender("bounces@list.example", "user+tag@Example.ORG", { before: "-", at: "+" }),
    "bounces-user+tag+example.org@list.example",
  );
});

test("what needs quotes gets them once, around the whole local part", () => {
  assert.equal(
    verpSender('"the list"@list.example', '"a b"@[192.0.2.1]', usualVerp),
    '"the list+a b=[192.0.2.1]"@list.example',
  );
  assert.equal(verpSender("l@list.example", "a@[192.0.2.1]", usualVerp), '"l+a=[192.0.2.1]"@list.example');
});

test("the null sender stays null, and what would be longer than a path stays as it is", () => {
  assert.equal(verpSender("", "user@example.org", usualVerp), undefined);
  assert.equal(verpSender("bounces@list.example", `${"u".repeat(230)}@example.org`, usualVerp), undefined);
  assert.equal(verpSender("bounces@list.example", "user", usualVerp), undefined);
});

test("delimiters are two of - = +", () => {
  assert.deepEqual(parseVerpDelimiters("+="), usualVerp);
  assert.deepEqual(parseVerpDelimiters("--"), { before: "-", at: "-" });
  for (const text of ["", "+", "+=+", "@=", "+@", "/=", "\r\n"])
    assert.equal(parseVerpDelimiters(text), undefined, text);
});

test("property: every address that comes out is one, and different recipients get different ones", () => {
  const local = fc
    .string({ minLength: 1, maxLength: 10, unit: fc.constantFrom(...'aZ0.+-="@ \\'.split("")) })
    .map(formatLocal);
  const address = fc
    .tuple(local, fc.constantFrom("a.example", "b.example", "[192.0.2.1]"))
    .map((parts) => parts.join("@"));
  fc.assert(
    fc.property(address, address, address, (sender, one, other) => {
      const first = verpSender(sender, one, usualVerp);
      const second = verpSender(sender, other, usualVerp);
      assert.ok(first !== undefined && second !== undefined);
      assert.ok(parseMailbox(first).ok, first);
      if (one.toLowerCase() !== other.toLowerCase()) assert.notEqual(first.toLowerCase(), second.toLowerCase());
    }),
  );
});
