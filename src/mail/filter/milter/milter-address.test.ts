import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMilterAddress } from "./milter-address.ts";

test("an address is written as Postfix writes it, or as milters do", () => {
  for (const [text, meant] of [
    ["inet:127.0.0.1:8891", "inet:127.0.0.1:8891"],
    ["inet:8891@localhost", "inet:localhost:8891"],
    ["inet6:8891@[::1]", "inet:[::1]:8891"],
    ["inet:[2001:db8::1]:25", "inet:[2001:db8::1]:25"],
    ["unix:/run/opendkim/opendkim.sock", "unix:/run/opendkim/opendkim.sock"],
    ["local:/run/x", "unix:/run/x"],
  ] as const)
    assert.equal(parseMilterAddress(text)?.text, meant, text);
});

test("what is no address is refused", () => {
  for (const text of [
    "",
    "8891",
    "inet:8891",
    "inet:host:0",
    "inet:host:70000",
    "unix:relative",
    "http://x:1",
    "inet:a b:1",
  ])
    assert.equal(parseMilterAddress(text), undefined, text);
});
