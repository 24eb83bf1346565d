import assert from "node:assert/strict";
import { encode } from "dns-packet";
import { readAnswer } from "../../../src/protocol/dns/answer.ts";
import { decodeMessage } from "../../../src/protocol/dns/message.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const response = (answers: readonly object[], name = "mx.example"): string =>
  text(
    encode({
      type: "response",
      id: 7,
      flags: 0x8180,
      questions: [{ type: "MX", name }],
      answers,
    }),
  );

/** DNS answers: never more records than a message of that length can hold, and what is read of them is bounded text. */
export const target: FuzzTarget = {
  maxBytes: 1024,
  seeds: [
    response([{ type: "MX", name: "mx.example", ttl: 60, data: { preference: 10, exchange: "a.mx.example" } }]),
    response([{ type: "A", name: "mx.example", ttl: 60, data: "192.0.2.1" }]),
    response([{ type: "TXT", name: "mx.example", ttl: 60, data: "v=spf1 -all" }]),
    response([
      { type: "CNAME", name: "mx.example", ttl: 60, data: "b.example" },
      { type: "AAAA", name: "b.example", ttl: 1, data: "2001:db8::1" },
    ]),
  ],
  tokens: [
    "\xc0\x0c",
    "\xc0\x00",
    "\x3f",
    "\x00",
    "\x00\x01\x00\x01",
    "\x00\x0f\x00\x01",
    "\xff\xff",
    "\x00\x29",
    "\x00\x10\x00\x01",
  ],
  run(bytes) {
    const decoded = decodeMessage(bytes);
    if (!decoded.ok) return;
    const message = decoded.value;
    assert.ok((message.answers.length + message.authorities.length) * 11 <= bytes.length);
    for (const record of message.answers)
      assert.ok(record.name.length <= 1100, "a name of at most 255 octets, escaped");
    for (const type of ["MX", "A", "TXT", "CNAME", "AAAA"] as const) readAnswer(message, "mx.example", type);
  },
};
