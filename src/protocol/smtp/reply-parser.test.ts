import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { cut, cuts } from "../../testing/cut.ts";
import { formatReply } from "./reply-format.ts";
import { ReplyParser, type ReplyEvent } from "./reply-parser.ts";
import type { Reply } from "./reply.ts";

function parse(text: string): ReplyEvent[] {
  return new ReplyParser().push(Buffer.from(text, "utf8"));
}

function replies(text: string): Reply[] {
  return parse(text).map((event) => {
    assert.equal(event.kind, "reply");
    return event.reply;
  });
}

test("replies of one line and of several are read", () => {
  assert.deepEqual(replies("220 mx ready\r\n250-mx\r\n250-SIZE 10\r\n250 HELP\r\n354\r\n"), [
    { code: 220, status: undefined, lines: ["mx ready"] },
    { code: 250, status: undefined, lines: ["mx", "SIZE 10", "HELP"] },
    { code: 354, status: undefined, lines: [""] },
  ]);
});

test("an enhanced status is taken only where its class is the code's", () => {
  assert.deepEqual(replies("550-5.1.1 no such\r\n550 5.1.1 user\r\n"), [
    { code: 550, status: "5.1.1", lines: ["no such", "user"] },
  ]);
  assert.deepEqual(replies("450 5.7.1 odd\r\n"), [{ code: 450, status: undefined, lines: ["5.7.1 odd"] }]);
  assert.deepEqual(replies("250 2.0.0\r\n"), [{ code: 250, status: "2.0.0", lines: [""] }]);
  assert.deepEqual(replies("550 5.1.1234 x\r\n"), [{ code: 550, status: undefined, lines: ["5.1.1234 x"] }]);
});

test("a server that changes its mind within a reply is believed in its last line", () => {
  assert.deepEqual(replies("250-yes\r\n550 5.7.1 no\r\n"), [{ code: 550, status: "5.7.1", lines: ["yes", "no"] }]);
});

test("old servers' LF and Latin-1 are read, control characters are not passed on", () => {
  const [event] = new ReplyParser().push(Buffer.from("550 Gr\xfc\xdfe\x1b[31m\rx\n", "latin1"));
  assert.deepEqual(event, { kind: "reply", reply: { code: 550, status: undefined, lines: ["Grüße [31m x"] } });
});

test("what is no reply breaks the dialogue for good", () => {
  for (const text of [
    "HTTP/1.1 400 Bad Request\r\n",
    "\r\n",
    "25 x\r\n",
    "650 x\r\n",
    "250_x\r\n",
    "250\tx\r\n",
    "2500 x\r\n",
  ]) {
    const events = parse(`${text}250 ok\r\n`);
    assert.deepEqual(
      events.map((event) => event.kind),
      ["broken"],
      text,
    );
  }
});

test("endless lines and endless replies stay bounded", () => {
  const parser = new ReplyParser({ maxLineBytes: 100, maxLines: 10 });
  assert.deepEqual(parser.push(Buffer.from("250 ")), []);
  for (let count = 0; count < 1000; count++) assert.deepEqual(parser.push(Buffer.alloc(1000, "a")), []);
  const [event] = parser.push(Buffer.from("\r\n"));
  assert.ok(event?.kind === "reply");
  assert.equal(event.reply.lines[0]?.length, 96);
  const events = parser.push(Buffer.from("250-x\r\n".repeat(11)));
  assert.deepEqual(events, [{ kind: "broken", because: "too-many-lines", text: "250-x" }]);
});

test("of a refusal with very many words the first are kept, and its code and status; of other replies more", () => {
  const long = "word ".repeat(400);
  const [refusal] = replies(`250-${long}\r\n${`550-5.7.1 ${long}\r\n`.repeat(100)}550 5.7.1 the end\r\n`);
  assert.deepEqual([refusal?.code, refusal?.status], [550, "5.7.1"]);
  assert.equal(refusal?.lines.join("").length, 4096);
  assert.equal(replies(`${"250-X-LIMIT a b c\r\n".repeat(127)}250 SMTPUTF8\r\n`)[0]?.lines.at(-1), "SMTPUTF8");
  const [other] = replies(`${`250-${long}\r\n`.repeat(100)}250 the end\r\n`);
  assert.equal(other?.lines.length, 8);
  // Half of `SIZE 104857600` would be another size.
  assert.equal(other.lines.at(-1), long);
});

test("bytes behind a reply are noticed, as before a handshake they must be", () => {
  const parser = new ReplyParser();
  parser.push(Buffer.from("220 go\r\n"));
  assert.ok(parser.isIdle);
  parser.push(Buffer.from("2"));
  assert.ok(!parser.isIdle);
  const inTheMiddle = new ReplyParser();
  inTheMiddle.push(Buffer.from("220-go\r\n"));
  assert.ok(!inTheMiddle.isIdle);
});

test("property: any cut of the bytes gives the same events, and nothing throws", () => {
  const streams = fc
    .array(fc.constantFrom("250", "-", " ", "\r\n", "\n", "\r", "5.1.1 ", "550", "é", "\xff", "text", "\0"), {
      maxLength: 30,
    })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(streams, cuts, (text, offsets) => {
      const bytes = Buffer.from(text, "latin1");
      const parser = new ReplyParser({ maxLineBytes: 20, maxLines: 3 });
      const events = cut(bytes, offsets).flatMap((piece) => parser.push(piece));
      assert.deepEqual(events, new ReplyParser({ maxLineBytes: 20, maxLines: 3 }).push(bytes));
    }),
    { numRuns: 500 },
  );
});

test("property: a reply that is written is read back", () => {
  const text = fc.stringMatching(/^[A-Za-z][\x20-\x7e]{0,300}$/);
  const any = fc.record({
    code: fc.constantFrom(220, 250, 354, 421, 450, 550, 554),
    detail: fc.nat(999),
    lines: fc.array(text, { minLength: 1, maxLength: 10 }),
    hasStatus: fc.boolean(),
  });
  fc.assert(
    fc.property(any, ({ code, detail, lines, hasStatus }) => {
      const status = hasStatus && code !== 354 ? `${Math.floor(code / 100)}.1.${detail}` : undefined;
      const reply = { code, status, lines };
      assert.deepEqual(new ReplyParser().push(formatReply(reply)), [{ kind: "reply", reply }]);
    }),
  );
});
