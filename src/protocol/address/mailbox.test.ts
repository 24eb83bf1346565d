import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  domainOf,
  formatMailbox,
  isInternational,
  needsSmtpUtf8,
  parseMailbox,
  splitAddress,
  type Mailbox,
} from "./mailbox.ts";

function mailbox(text: string, isInternational = true): Mailbox {
  const parsed = parseMailbox(text, { isInternational });
  assert.ok(parsed.ok, `${text}: ${JSON.stringify(parsed)}`);
  return parsed.value;
}

test("local parts of every kind are decoded", () => {
  assert.equal(mailbox("a.b+c@example.org").local, "a.b+c");
  assert.equal(mailbox('"a b"@example.org').local, "a b");
  assert.equal(mailbox('"a@b"@example.org').local, "a@b");
  assert.equal(mailbox('"\\"\\\\"@example.org').local, '"\\');
  assert.equal(mailbox('""@example.org').local, "");
  assert.equal(mailbox("!#$%&'*+-/=?^_`{|}~@example.org").local, "!#$%&'*+-/=?^_`{|}~");
});

test("a mailbox is written in its shortest form, whatever the quoting was", () => {
  assert.equal(formatMailbox(mailbox('"a"@Example.ORG')), "a@example.org");
  assert.equal(formatMailbox(mailbox('"\\a\\.b"@example.org')), "a.b@example.org");
  assert.equal(formatMailbox(mailbox('"a..b"@example.org')), '"a..b"@example.org');
  assert.equal(formatMailbox(mailbox('""@example.org')), '""@example.org');
});

test("what RFC 5321 does not call a mailbox is refused, with the offset of the offence", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["", 0],
    ["a", 1],
    ["@b", 0],
    [".a@b", 0],
    ["a.@b", 1],
    ["a..b@c", 1],
    ["a b@c", 1],
    ['"a@b', 0],
    ['"a"b@c', 3],
    ["a@", 2],
    ["a@b@c", 3],
    ["a@-b", 2],
    ["a@b..c", 3],
    ["a@b.", 3],
    ["a@[192.0.2.256]", 3],
    ["a@[192.0.2.1", 12],
    ["a@[IPv6:1]", 8],
    ["a@b\r\nRCPT TO:<c@d>", 3],
    ['"a\r\nb"@c', 0],
    ['"a\0b"@c', 0],
  ];
  for (const [text, at] of cases) {
    const parsed = parseMailbox(text);
    assert.equal(parsed.ok, false, text);
    if (!parsed.ok) assert.equal(parsed.problem.at, at, text);
  }
});

test("RFC 5321 section 4.5.3.1: local parts hold what the caller allows and domains 255 octets, not one more", () => {
  const strict = { maxLocalBytes: 64, isInternational: true };
  assert.ok(parseMailbox(`${"a".repeat(64)}@b`, strict).ok);
  assert.ok(!parseMailbox(`${"a".repeat(65)}@b`, strict).ok);
  assert.ok(parseMailbox(`${"é".repeat(32)}@b`, strict).ok);
  assert.ok(!parseMailbox(`${"é".repeat(33)}@b`, strict).ok);
  const label = "a".repeat(63);
  assert.ok(parseMailbox(`a@${label}.${label}.${label}.${"a".repeat(61)}`).ok);
  assert.ok(!parseMailbox(`a@${label}.${label}.${label}.${"a".repeat(62)}`).ok);
  assert.ok(!parseMailbox(`a@${"a".repeat(64)}`).ok);
});

test("addresses beyond ASCII are taken only where they are allowed", () => {
  assert.ok(!parseMailbox("ü@example.org").ok);
  assert.ok(!parseMailbox("u@bücher.example").ok);
  const both = mailbox("ü@Bücher.example");
  assert.equal(both.local, "ü");
  assert.deepEqual(both.domain, { kind: "name", ascii: "xn--bcher-kva.example", text: "Bücher.example" });
  assert.ok(isInternational(both) && needsSmtpUtf8(both));
  const domainOnly = mailbox("u@bücher.example");
  assert.ok(isInternational(domainOnly) && !needsSmtpUtf8(domainOnly));
  assert.ok(!isInternational(mailbox("u@xn--bcher-kva.example")));
});

test("characters that break lines for some reader are no part of an address", () => {
  for (const character of ["\u0085", "\u2028", "\u2029", "\ud800"])
    assert.ok(!parseMailbox(`a${character}b@c`, { isInternational: true }).ok);
});

test("the domain of a wire form is found behind the last @", () => {
  assert.equal(domainOf('"a@b"@Example.ORG'), "example.org");
  assert.equal(domainOf(""), "");
  assert.equal(domainOf("postmaster"), "");
  assert.deepEqual(splitAddress('"a@b"@C'), { local: '"a@b"', domain: "c" });
});

const locals = fc.oneof(
  fc.stringMatching(/^[\x20-\x7e]{1,60}$/),
  fc.stringMatching(/^[a-z0-9.+-]{1,30}$/),
  fc.string({ unit: "grapheme", maxLength: 10 }).filter((text) => !/\p{Cc}/u.test(text)),
);
const domains = fc.oneof(
  fc.domain(),
  fc.ipV4().map((address) => `[${address}]`),
  fc.ipV6().map((address) => `[IPv6:${address}]`),
);

test("property: every mailbox that can be written is read back as it was", () => {
  fc.assert(
    fc.property(locals, domains, (local, domain) => {
      const quoted = `"${local.replace(/["\\]/g, "\\$&")}"@${domain}`;
      const first = parseMailbox(quoted, { isInternational: true, maxLocalBytes: 1000 });
      assert.ok(first.ok, quoted);
      assert.equal(first.value.local, local);
      const text = formatMailbox(first.value);
      const second = parseMailbox(text, { isInternational: true, maxLocalBytes: 1000 });
      assert.ok(second.ok, text);
      assert.equal(second.value.local, local);
      assert.equal(formatMailbox(second.value), text);
    }),
  );
});

test("property: no text makes the parser throw, and what it takes has no control characters", () => {
  const hostile = fc.string({ unit: fc.constantFrom(...Array.from('a@<>"\\.[]:,\r\n\0 \t%ü\u202e\ud800😀1')) });
  fc.assert(
    fc.property(hostile, (text) => {
      const parsed = parseMailbox(text, { isInternational: true });
      if (parsed.ok) assert.doesNotMatch(formatMailbox(parsed.value), /\p{Cc}/u);
      else assert.ok(parsed.problem.at >= 0 && parsed.problem.at <= Math.max(text.length, 255));
    }),
    { numRuns: 500 },
  );
});
