import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { cut, cuts } from "../../testing/cut.ts";
import { LineReceiver } from "./line-receiver.ts";

function drain(receiver: LineReceiver): string[] {
  const events: string[] = [];
  for (let event = receiver.next(); event !== undefined; event = receiver.next())
    events.push(
      event.kind === "too-long"
        ? `too-long ${event.lengthBytes}`
        : `${event.kind === "bare" ? event.character : "line"} ${JSON.stringify(event.bytes.toString("latin1"))}`,
    );
  return events;
}

function lines(maxLineBytes: number, ...pieces: readonly (string | Buffer)[]): string[] {
  const receiver = new LineReceiver(maxLineBytes);
  return pieces.flatMap((piece) => {
    receiver.push(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
    return drain(receiver);
  });
}

test("lines end in CRLF and come one by one", () => {
  assert.deepEqual(lines(512, "EHLO a\r\nMA", "IL\r", "\n\r\n"), ['line "EHLO a"', 'line "MAIL"', 'line ""']);
});

test("a CR or LF alone is told as such", () => {
  assert.deepEqual(lines(512, "a\nb\rc\r\n"), ['LF "a"', 'CR "b"', 'line "c"']);
  assert.deepEqual(lines(512, "a\r", "\r\n"), ['CR "a"', 'line ""']);
});

test("a line of the limit's length passes; a longer one is swallowed to its end and told once", () => {
  assert.deepEqual(lines(4, "abcd\r\nabcde\r\nx\r\n"), ['line "abcd"', "too-long 5", 'line "x"']);
});

test("a line without an end holds no more memory than the limit and one push", () => {
  const receiver = new LineReceiver(1000);
  for (let count = 0; count < 1000; count++) {
    receiver.push(Buffer.alloc(10_000, "a"));
    assert.equal(receiver.next(), undefined);
    assert.ok(receiver.heldBytes <= 1000);
  }
  receiver.push(Buffer.from("\r\nQUIT\r\n"));
  assert.deepEqual(drain(receiver), ["too-long 10000000", 'line "QUIT"']);
});

test("what follows a line can be taken as something other than lines", () => {
  const receiver = new LineReceiver(512);
  receiver.push(Buffer.from("DATA\r\nhello"));
  assert.equal(receiver.next()?.kind, "line");
  assert.ok(!receiver.isIdle);
  assert.equal(receiver.takeRest().toString(), "hello");
  assert.ok(receiver.isIdle);
  receiver.push(Buffer.from("QUIT\r\n"));
  assert.deepEqual(drain(receiver), ['line "QUIT"']);
});

test("property: any cut of the bytes gives the same events", () => {
  const streams = fc
    .array(fc.constantFrom("\r\n", "\r", "\n", "a", "EHLO x", "\0", "0123456789"), { maxLength: 30 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(streams, cuts, fc.nat(20), (text, offsets, max) => {
      const bytes = Buffer.from(text, "latin1");
      assert.deepEqual(lines(max, ...cut(bytes, offsets)), lines(max, bytes));
    }),
    { numRuns: 500 },
  );
});
