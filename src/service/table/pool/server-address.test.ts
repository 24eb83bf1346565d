import assert from "node:assert/strict";
import { test } from "node:test";
import { isThisMachine, parseServerAddress } from "./server-address.ts";

test("servers are names, addresses and sockets, with a port or without", () => {
  for (const [text, host, port] of [
    ["db.example.org", "db.example.org", undefined],
    ["db.example.org:5433", "db.example.org", 5433],
    ["192.0.2.1:1", "192.0.2.1", 1],
    ["2001:db8::1", "2001:db8::1", undefined],
    ["[2001:db8::1]:5432", "2001:db8::1", 5432],
    ["[2001:db8::1]", "2001:db8::1", undefined],
    ["ldaps://ldap.example:636", "ldap.example", 636],
    ["ldap://[::1]/", "::1", undefined],
  ] as const) {
    const parsed = parseServerAddress(text);
    assert.ok(parsed.ok && parsed.value.kind === "tcp", text);
    assert.deepEqual([parsed.value.host, parsed.value.port], [host, port]);
  }
  assert.deepEqual(parseServerAddress("/run/db.sock"), { ok: true, value: { kind: "unix", path: "/run/db.sock" } });
  for (const text of ["", "a b", "db:0", "db:65536", "db:", "[db]:1", "a/b", "http://a/b", "user@db", "a:1:2"])
    assert.ok(!parseServerAddress(text).ok, text);
});

test("only loopback and sockets are this machine", () => {
  for (const [text, isHere] of [
    ["localhost", true],
    ["127.0.0.2:1", true],
    ["::1", true],
    ["/run/x", true],
    ["10.0.0.1", false],
    ["localhost.example", false],
    ["::2", false],
    ["127.example", false],
  ] as const) {
    const parsed = parseServerAddress(text);
    assert.ok(parsed.ok);
    assert.equal(isThisMachine(parsed.value), isHere, text);
  }
});
