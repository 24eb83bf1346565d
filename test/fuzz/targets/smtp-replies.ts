import assert from "node:assert/strict";
import { parseExtensions, sizeLimit, announcedLimits, authMechanisms } from "../../../src/protocol/smtp/extensions.ts";
import { formatReply } from "../../../src/protocol/smtp/reply-format.ts";
import { ReplyParser } from "../../../src/protocol/smtp/reply-parser.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

/** What a hostile server answers: other cuts give the same, lines have no controls, and what we say again is one reply. */
export const target: FuzzTarget = {
  seeds: [
    "220 mx ESMTP\r\n250-mx\r\n250-SIZE 1000\r\n250-AUTH PLAIN LOGIN\r\n250-LIMITS RCPTMAX=5\r\n250 STARTTLS\r\n",
    "550-5.1.1 no\r\n550 5.1.1 such user\r\n",
    "250\n354 go\r\n421 4.3.2 bye\r\n",
    "25O no\r\n",
  ],
  tokens: ["250-", "250 ", "\r\n", "\n", "5.1.1 ", "4.7.0", "SIZE ", "AUTH", "=", "LIMITS MAILMAX=", "\x1b[2J", "\xff"],
  run(bytes) {
    const events = sameHoweverCut(bytes, (pieces) => {
      const parser = new ReplyParser({ maxLineBytes: 100, maxLines: 20 });
      return [...pieces].flatMap((piece) => parser.push(piece));
    });
    for (const event of events) {
      if (event.kind === "broken") {
        assert.ok(!/[\x00-\x1f\x7f]/.test(event.text) && event.text.length <= 200);
        continue;
      }
      const { reply } = event;
      assert.ok(reply.lines.length <= 20 && reply.lines.every((line) => !/[\x00-\x1f\x7f]/.test(line)));
      const extensions = parseExtensions(reply);
      const size = sizeLimit(extensions);
      assert.ok(size === undefined || (Number.isSafeInteger(size) && size >= 0));
      announcedLimits(extensions);
      authMechanisms(extensions);
      const again = new ReplyParser({ maxLineBytes: 4096 }).push(formatReply(reply, true));
      assert.equal(again.length, 1);
      assert.ok(again[0]?.kind === "reply" && again[0].reply.code === reply.code);
    }
  },
};
