import assert from "node:assert/strict";
import { isIP } from "node:net";
import { parseProxyHeader } from "../../../src/mail/connection/proxy-header.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const V2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x10\x92\0\x19";
const MOST_BYTES = 16 + 4096;

/**
 * PROXY headers: what was said of the beginning holds for the whole; a header has addresses and ports that are some; nobody makes us
 * wait for more than the longest header.
 */
export const target: FuzzTarget = {
  seeds: [
    "PROXY TCP4 192.0.2.1 192.0.2.2 4242 25\r\nEHLO",
    "PROXY UNKNOWN\r\n",
    "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
    V2,
  ],
  tokens: [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "\r\n",
    V2.slice(0, 12),
    "\x21",
    "\x20",
    "\x11",
    "\x21\x21\0\x24",
    " ",
    "::1",
    "65536",
  ],
  longBytes: 8192,
  run(bytes) {
    const whole = parseProxyHeader(bytes);
    if (whole.kind === "incomplete") assert.ok(bytes.length < MOST_BYTES);
    for (let length = 1; length < Math.min(bytes.length, 160); length++) {
      const begun = parseProxyHeader(bytes.subarray(0, length));
      if (begun.kind === "incomplete") continue;
      assert.equal(begun.kind, whole.kind, `at ${length}`);
      if (begun.kind === "header") assert.deepEqual(whole, begun);
    }
    if (whole.kind !== "header") return;
    assert.ok(whole.lengthBytes <= bytes.length);
    const { client } = whole;
    if (client === undefined) return;
    assert.ok(isIP(client.address) > 0 && isIP(client.toAddress) === isIP(client.address));
    for (const port of [client.port, client.toPort]) assert.ok(Number.isInteger(port) && port >= 0 && port <= 65_535);
  },
};
