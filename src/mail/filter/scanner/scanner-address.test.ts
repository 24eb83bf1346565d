import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseScannerAddress } from "./scanner-address.ts";

test("a scanner is a socket's path, or a host with its port, the usual one when none is given", () => {
  for (const [text, says] of [
    ["unix:/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"],
    ["/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"],
    ["local:/run/x", "/run/x"],
    ["127.0.0.1:783", "127.0.0.1:783"],
    ["inet:127.0.0.1:1783", "127.0.0.1:1783"],
    ["inet6:[::1]:783", "[::1]:783"],
    ["::1", "[::1]:3310"],
    ["scanner.example.org", "scanner.example.org:3310"],
  ] as const)
    assert.equal(parseScannerAddress(text, 3310)?.text, says, text);
});

test("what is neither is refused, and nothing throws", () => {
  for (const text of [
    "",
    "unix:",
    "unix:run/x",
    "inet:/run/x",
    "http://127.0.0.1",
    "127.0.0.1:0",
    "a b",
    "unix:host:1",
    "x:70000",
  ])
    assert.equal(parseScannerAddress(text, 3310), undefined, text);
  fc.assert(fc.property(fc.string(), (text) => void parseScannerAddress(text, 1)));
});
