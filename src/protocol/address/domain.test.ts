import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatDomain, isLocalhost, literalOf, parseDomain, sameDomain, unicodeOf, type Domain } from "./domain.ts";

function domain(text: string): Domain {
  const parsed = parseDomain(text, { isInternational: true });
  assert.ok(parsed.ok, `${text}: ${JSON.stringify(parsed)}`);
  return parsed.value;
}

test("names compare without case and across U-labels and A-labels", () => {
  assert.ok(sameDomain(domain("Bücher.Example"), domain("xn--bcher-kva.example")));
  assert.ok(sameDomain(domain("[IPv6:2001:DB8::0:1]"), domain("[ipv6:2001:db8:0:0:0:0:0:1]")));
  assert.ok(!sameDomain(domain("example.org"), domain("example.com")));
  assert.equal(unicodeOf(domain("xn--bcher-kva.example")), "bücher.example");
});

test("underscores are let through, other characters beyond letters, digits and hyphens are not", () => {
  assert.equal(formatDomain(domain("My_Host.example")), "my_host.example");
  for (const text of ["a b", "a/b", "a%b", "a\\b", "a:b", "a'b", "a,b", "", ".", "a..b", "-a", "a-", "a.-b"])
    assert.equal(parseDomain(text, { isInternational: true }).ok, false, text);
});

test("mapping cannot smuggle in characters that no label has", () => {
  // Full-width percent sign, slash, commercial at; the ideographic full stop is a separator and stays one.
  for (const text of ["a％41.example", "a／b.example", "a＠b.example", "ü%2eb.example", "é\u0000.example"])
    assert.equal(parseDomain(text, { isInternational: true }).ok, false, text);
  assert.equal(formatDomain(domain("bücher。example")), "xn--bcher-kva.example");
});

test("localhost is known in each of its writings", () => {
  for (const text of [
    "localhost",
    "LOCALHOST",
    "a.localhost",
    "[127.0.0.1]",
    "[127.9.9.9]",
    "[IPv6:::1]",
    "[IPv6:::ffff:127.0.0.1]",
  ])
    assert.ok(isLocalhost(domain(text)), text);
  for (const text of ["localhost.example", "notlocalhost", "[128.0.0.1]", "[IPv6:::2]"])
    assert.ok(!isLocalhost(domain(text)), text);
});

test("a client's address becomes the literal of its family", () => {
  assert.equal(literalOf("192.0.2.1"), "[192.0.2.1]");
  assert.equal(literalOf("2001:db8::1"), "[IPv6:2001:db8::1]");
});

test("property: what is read is written so that it reads the same", () => {
  const texts = fc.oneof(
    fc.domain(),
    fc.ipV4().map((address) => `[${address}]`),
    fc.ipV6().map((address) => `[IPv6:${address}]`),
    fc.string({ unit: fc.constantFrom(...Array.from("aB1-_.ü日本[]:")) }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const parsed = parseDomain(text, { isInternational: true });
      if (!parsed.ok) return;
      const again = parseDomain(formatDomain(parsed.value));
      assert.ok(again.ok, formatDomain(parsed.value));
      assert.ok(sameDomain(parsed.value, again.value));
    }),
    { numRuns: 300 },
  );
});
