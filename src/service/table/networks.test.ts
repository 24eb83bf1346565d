import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, isLoopback, networkOf, networksOf, plainAddress } from "./networks.ts";
import { network } from "./network-setting.ts";

test("a set of networks has their addresses and no others", () => {
  const set = networksOf(["192.0.2.0/24", "2001:db8::/32", "loopback"]);
  for (const address of ["192.0.2.77", "2001:db8:1::1", "127.0.0.1", "127.9.9.9", "::1"])
    assert.equal(set.has(address), true, address);
  for (const address of ["192.0.3.1", "2001:db9::1", "::2", "", "nonsense"])
    assert.equal(set.has(address), false, address);
  assert.equal(networksOf([]).has("127.0.0.1"), false);
});

test("the settings accept networks, addresses and the word loopback", () => {
  for (const text of ["192.0.2.0/24", "192.0.2.1", "::1", "loopback"])
    assert.equal(network().safeParse(text).success, true);
  for (const text of ["192.0.2.1/24", "everywhere", "", "192.0.2.0/33"])
    assert.equal(network().safeParse(text).success, false, text);
});

test("one client has one spelling", () => {
  assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("fe80::1%eth0"), "fe80::1");
  assert.equal(plainAddress("2001:db8::1"), "2001:db8::1");
  for (const mapped of ["::ffff:c000:201", "::FFFF:192.0.2.1", "0:0:0:0:0:ffff:c000:201"])
    assert.equal(plainAddress(mapped), "192.0.2.1", mapped);
  assert.equal(plainAddress("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  assert.equal(plainAddress("unknown"), "unknown");
});

test("an address counts towards its /24 or /64, and IPv6 neighbours are one client", () => {
  assert.equal(networkOf("192.0.2.1"), networkOf("192.0.2.254"));
  assert.notEqual(networkOf("192.0.2.1"), networkOf("192.0.3.1"));
  assert.equal(networkOf("2001:db8::1"), networkOf("2001:db8:0:0:ffff::9"));
  assert.notEqual(networkOf("2001:db8::1"), networkOf("2001:db8:0:1::1"));
  assert.equal(clientOf("192.0.2.1"), "192.0.2.1");
  assert.equal(clientOf("2001:db8::1"), clientOf("2001:db8::2"));
});

test("loopback is all of 127 and ::1", () => {
  for (const address of ["127.0.0.1", "127.255.0.3", "::1"]) assert.equal(isLoopback(address), true);
  for (const address of ["128.0.0.1", "::2", "127.example"]) assert.equal(isLoopback(address), false);
});
