import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatReply } from "./reply-format.ts";
import { reply } from "./reply.ts";

function text(...args: Parameters<typeof formatReply>): string {
  return formatReply(...args).toString("utf8");
}

test("code, status and text stand in each line, and only the last has a space behind the code", () => {
  assert.equal(text(reply(250, "2.1.0", "Ok")), "250 2.1.0 Ok\r\n");
  assert.equal(text(reply(250, undefined, "mx", "SIZE 1", "DSN")), "250-mx\r\n250-SIZE 1\r\n250 DSN\r\n");
  assert.equal(text(reply(550, "5.7.1", "a", "b")), "550-5.7.1 a\r\n550 5.7.1 b\r\n");
  assert.equal(text(reply(354, undefined)), "354 \r\n");
});

test("no text gets a line end or another control character into a reply", () => {
  assert.equal(text(reply(550, "5.1.1", "<a\r\n250 ok\0\x1b>")), "550 5.1.1 <a 250 ok >\r\n");
});

test("text beyond ASCII goes out only to clients that asked for SMTPUTF8", () => {
  assert.equal(text(reply(550, "5.1.1", "<ü@é>")), "550 5.1.1 <?@?>\r\n");
  assert.equal(text(reply(550, "5.1.1", "<ü@é>"), true), "550 5.1.1 <ü@é>\r\n");
});

test("long text goes on in further lines, cut at a blank", () => {
  const lines = text(reply(550, "5.7.1", "word ".repeat(300))).split("\r\n");
  assert.ok(lines.length > 3);
  assert.ok(lines.slice(0, -2).every((line) => line.startsWith("550-5.7.1 word") && line.endsWith("word ")));
});

test("property: every line is at most 512 octets of well-formed UTF-8, ends in CRLF and begins with the code", () => {
  const anyText = fc.oneof(
    fc.string({
      unit: fc.constantFrom("\r", "\n", "a", " ", "ü", "😀", "\ud800", "\u2028", "\x7f"),
      size: "large",
      maxLength: 700,
    }),
    fc.stringMatching(/^[\x20-\x7e]{450,550}$/),
  );
  fc.assert(
    fc.property(fc.array(anyText, { maxLength: 4 }), fc.boolean(), (lines, isInternational) => {
      const bytes = formatReply({ code: 550, status: "5.123.123", lines }, isInternational);
      const wire = bytes.toString("utf8");
      assert.ok(wire.endsWith("\r\n"));
      assert.ok(!wire.includes("\ufffd") || lines.some((line) => line.includes("\ufffd") || !line.isWellFormed()));
      const written = wire.slice(0, -2).split("\r\n");
      for (const [index, line] of written.entries()) {
        assert.ok(Buffer.byteLength(line) + 2 <= 512);
        assert.ok(line.startsWith(index === written.length - 1 ? "550 5.123.123 " : "550-5.123.123 "));
        assert.doesNotMatch(line, /\p{Cc}/u);
      }
    }),
  );
});
