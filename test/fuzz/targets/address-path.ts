import assert from "node:assert/strict";
import { parseMailbox } from "../../../src/protocol/address/mailbox.ts";
import { formatPath, parsePath } from "../../../src/protocol/address/path.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

/**
 * RFC 5321 paths and mailboxes: what is parsed is formatted to something that is parsed, and formatted the same; no control character
 * and no angle bracket outside of quotes comes through.
 */
export const target: FuzzTarget = {
  seeds: ["<a@b.example>", "<>", '<"a b"@[192.0.2.1]>', "<@x,@y:a@b>", "<postmaster>", "<a@[IPv6:2001:db8::1]>"],
  tokens: [
    "<",
    ">",
    "@",
    '"',
    "\\",
    "[",
    "]",
    "IPv6:",
    "postmaster",
    ".",
    ",",
    ":",
    "a.b",
    "xn--",
    "\xc3\xa4",
    "\xe2\x84\xa1",
  ],
  run(bytes) {
    const text = bytes.toString("utf8");
    for (const isInternational of [false, true]) {
      parseMailbox(text, { isInternational });
      const parsed = parsePath(text, { isInternational });
      if (!parsed.ok) continue;
      const formatted = formatPath(parsed.value);
      assert.ok(!/[\x00-\x1f\x7f]/.test(formatted), formatted);
      const again = parsePath(formatted, { isInternational });
      assert.equal(again.ok ? formatPath(again.value) : again.problem.expected, formatted);
    }
  },
};
