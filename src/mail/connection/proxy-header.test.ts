import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseProxyHeader } from "./proxy-header.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";

function v2(rest: string): Buffer {
  return Buffer.from(SIGNATURE + rest.replaceAll(" ", ""), "hex");
}

test("version 1 tells the client of IPv4 and IPv6, and what follows is left", () => {
  const header = parseProxyHeader(Buffer.from("PROXY TCP4 192.0.2.1 198.51.100.2 5000 25\r\nEHLO x\r\n"));
  assert.deepEqual(header, {
    kind: "header",
    lengthBytes: 43,
    client: { address: "192.0.2.1", port: 5000, toAddress: "198.51.100.2", toPort: 25 },
  });
  const six = parseProxyHeader(Buffer.from("PROXY TCP6 2001:db8::1 2001:db8::2 5000 25\r\n"));
  assert.ok(six.kind === "header");
  assert.equal(six.client?.address, "2001:db8::1");
});

test("version 1 UNKNOWN means the proxy itself, whatever stands behind it", () => {
  assert.deepEqual(parseProxyHeader(Buffer.from("PROXY UNKNOWN ffff::1 what\r\n")), {
    kind: "header",
    lengthBytes: 28,
  });
});

test("version 2 tells the client of IPv4 and IPv6", () => {
  const four = parseProxyHeader(v2("21 11 000c c0000201 c6336402 1388 0019"));
  assert.deepEqual(four, {
    kind: "header",
    lengthBytes: 28,
    client: { address: "192.0.2.1", port: 5000, toAddress: "198.51.100.2", toPort: 25 },
  });
  const six = parseProxyHeader(
    v2("21 21 0024 20010db8000000000000000000000001 20010db8000000010000000000000002 1388 0019"),
  );
  assert.ok(six.kind === "header");
  assert.equal(six.client?.address, "2001:db8::1");
  assert.equal(six.client?.toAddress, "2001:db8:0:1::2");
});

test("version 2 LOCAL is the proxy's own, and optional fields are passed over", () => {
  assert.deepEqual(parseProxyHeader(v2("20 00 0000")), { kind: "header", lengthBytes: 16 });
  const withField = parseProxyHeader(v2("21 11 0012 c0000201 c6336402 1388 0019 04 0003 616263"));
  assert.ok(withField.kind === "header");
  assert.equal(withField.lengthBytes, 34);
});

test("what is no header, or lies about itself, is refused", () => {
  for (const bytes of [
    Buffer.from("EHLO x\r\n"),
    Buffer.from("PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n"),
    Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 99999 2\r\n"),
    Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
    Buffer.from(`PROXY TCP4 ${"1".repeat(120)}`),
    v2("11 11 000c"),
    v2("21 11 ffff"),
    v2("21 11 0004 c0000201"),
  ])
    assert.equal(parseProxyHeader(bytes).kind, "refused", bytes.toString("latin1"));
});

test("a header in pieces is waited for, byte by byte, and then read the same", () => {
  for (const whole of [
    Buffer.from("PROXY TCP4 192.0.2.1 198.51.100.2 5000 25\r\n"),
    v2("21 11 000c c0000201 c6336402 1388 0019"),
  ]) {
    for (let length = 0; length < whole.length; length++)
      assert.equal(parseProxyHeader(whole.subarray(0, length)).kind, "incomplete");
    assert.equal(parseProxyHeader(whole).kind, "header");
  }
});

test("no bytes throw, and nobody is waited for beyond the longest header", () => {
  const start = fc.constantFrom(Buffer.alloc(0), Buffer.from("PROXY "), v2(""));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 200 }), (front, bytes) => {
      const all = Buffer.concat([front, bytes, Buffer.alloc(4200, 0x41)]);
      assert.notEqual(parseProxyHeader(all).kind, "incomplete");
    }),
  );
});
