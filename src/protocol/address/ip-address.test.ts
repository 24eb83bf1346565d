import { test } from "node:test";
import assert from "node:assert/strict";
import { isIP } from "node:net";
import * as fc from "fast-check";
import {
  canonicalIpText,
  formatIpAddress,
  isLoopback,
  networkContains,
  networkText,
  parseIpAddress,
  parseIpNetwork,
  type IpAddress,
} from "./ip-address.ts";

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  assert.ok(parsed, text);
  return parsed;
}

test("RFC 5952: one writing for each IPv6 address", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1::", "1::"],
    ["::ffff:c000:201", "::ffff:192.0.2.1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
  ];
  for (const [text, canonical] of cases) assert.equal(formatIpAddress(address(text)), canonical, text);
});

test("other texts are no addresses", () => {
  for (const text of [
    "",
    ":",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "12345::",
    "::1.2.3",
    "1.2.3.4::",
    "::g",
    "1.2.3",
    "01.2.3.4",
    "1.2.3.256",
    "1.2.3.4 ",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7::8",
  ])
    assert.equal(parseIpAddress(text), undefined, text);
});

test("an IPv4 peer of a dual-stack socket is an IPv4 peer", () => {
  assert.equal(canonicalIpText("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(canonicalIpText("::FFFF:192.0.2.1"), "192.0.2.1");
  assert.equal(canonicalIpText("x"), undefined);
  assert.ok(isLoopback(address("::ffff:127.0.0.1")));
});

test("networks hold what shares their prefix", () => {
  const contains = (network: string, text: string) => {
    const parsed = parseIpNetwork(network);
    assert.ok(parsed, network);
    return networkContains(parsed, address(text));
  };
  assert.ok(contains("192.0.2.0/23", "192.0.3.255"));
  assert.ok(!contains("192.0.2.0/23", "192.0.4.0"));
  assert.ok(contains("0.0.0.0/0", "203.0.113.9"));
  assert.ok(!contains("0.0.0.0/0", "::1"));
  assert.ok(contains("192.0.2.1", "192.0.2.1"));
  assert.ok(!contains("2001:db8::/61", "2001:db8:0:8::"));
  assert.ok(contains("2001:db8::/61", "2001:db8:0:7::"));
  for (const text of ["192.0.2.0/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/08", "x/8"])
    assert.equal(parseIpNetwork(text), undefined, text);
  assert.equal(networkText(address("2001:db8:1:2:3:4:5:6"), 64), "2001:db8:1:2::/64");
  assert.equal(networkText(address("192.0.2.77"), 28), "192.0.2.64/28");
});

test("property: addresses survive writing and reading, and are those that the platform knows", () => {
  const texts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ unit: fc.constantFrom(...Array.from("0123459afF:.")) }));
  fc.assert(
    fc.property(texts, (text) => {
      const parsed = parseIpAddress(text);
      assert.equal(parsed !== undefined, isIP(text) !== 0, text);
      if (parsed !== undefined) assert.deepEqual(parseIpAddress(formatIpAddress(parsed)), parsed);
    }),
    { numRuns: 1000 },
  );
});
