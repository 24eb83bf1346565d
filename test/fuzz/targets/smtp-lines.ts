import assert from "node:assert/strict";
import { LineReceiver } from "../../../src/protocol/smtp/line-receiver.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

const LIMIT = 64;

/** The server's ear for commands: other cuts give the same lines, no line is longer than the limit, and little is held. */
export const target: FuzzTarget = {
  longBytes: 32_768,
  seeds: ["EHLO a\r\nMAIL FROM:<>\r\n", "a\rb\nc\r\n\r\r\n\n", `${"x".repeat(70)}\r\nNOOP\r\n`],
  tokens: ["\r\n", "\r", "\n", "\r\r\n", "\n\r", "a", "x".repeat(LIMIT), "x".repeat(LIMIT + 1)],
  // Each line of LFs alone once looked for a CR to the end of what had come.
  repeats: [
    ["", "\n", ""],
    ["", "\r", ""],
    ["NOOP", "\n", "\r\n"],
  ],
  run(bytes) {
    sameHoweverCut(bytes, (pieces) => {
      const receiver = new LineReceiver(LIMIT);
      const events: unknown[] = [];
      for (const piece of pieces) {
        receiver.push(piece);
        for (let event = receiver.next(); event !== undefined; event = receiver.next()) {
          if (event.kind !== "too-long") {
            assert.ok(event.bytes.length <= LIMIT);
            assert.ok(!event.bytes.includes(10) && !event.bytes.includes(13));
          }
          events.push(event.kind === "too-long" ? event : { ...event, bytes: event.bytes.toString("latin1") });
        }
        // What waits for its end, and a CR behind it.
        assert.ok(receiver.heldBytes <= LIMIT + 1, `${receiver.heldBytes} held`);
      }
      return events;
    });
  },
};
