import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CLAMD_END, clamdChunkHead, clamdCommand, clamdReplyReader, parseClamdReply } from "./clamd.ts";

test("commands end in NUL behind a z; a chunk stands behind its length, and a length of nothing ends the stream", () => {
  assert.equal(clamdCommand("INSTREAM").toString("latin1"), "zINSTREAM\0");
  assert.deepEqual([...clamdChunkHead(65_536)], [0, 1, 0, 0]);
  assert.deepEqual([...CLAMD_END], [0, 0, 0, 0]);
});

test("an answer says clean, the signature's name, too big, or what went wrong", () => {
  assert.deepEqual(parseClamdReply("stream: OK"), { kind: "clean" });
  assert.deepEqual(parseClamdReply("stream: Win.Test.EICAR_HDB-1 FOUND"), {
    kind: "found",
    signature: "Win.Test.EICAR_HDB-1",
  });
  assert.deepEqual(parseClamdReply("stream: Eicar.UNOFFICIAL(44d88612fea8a8f36de82e1278abb02f:68) FOUND"), {
    kind: "found",
    signature: "Eicar.UNOFFICIAL",
  });
  assert.deepEqual(parseClamdReply("instream(127.0.0.1@40000): OK"), { kind: "clean" });
  assert.deepEqual(parseClamdReply("INSTREAM size limit exceeded. ERROR"), { kind: "too-big" });
  assert.deepEqual(parseClamdReply("PONG"), { kind: "pong" });
  assert.deepEqual(parseClamdReply("stream: Can't open file or directory ERROR"), {
    kind: "failed",
    text: 'it said "stream: Can\'t open file or directory ERROR"',
  });
});

test("whatever else is said is a failure, never clean", () => {
  for (const text of [
    "",
    "OK",
    "stream: ok",
    "stream: OK FINE",
    "stream:OK",
    "UNKNOWN COMMAND",
    "stream: FOUND",
    "+PONG",
  ])
    assert.equal(parseClamdReply(text).kind, "failed", text);
  fc.assert(fc.property(fc.string(), (text) => parseClamdReply(text).kind !== "clean" || text.endsWith(": OK")));
});

test("an answer is read to its NUL or line end, wherever it was cut, and never beyond the bound", () => {
  for (const end of ["\0", "\n", "\r\n"])
    for (let cut = 0; cut < 10; cut++) {
      const bytes = Buffer.from(`stream: OK${end}more`);
      const reader = clamdReplyReader();
      const told = [reader.push(bytes.subarray(0, cut)), reader.push(bytes.subarray(cut))];
      assert.deepEqual(
        told.filter((text) => text !== undefined),
        ["stream: OK"],
      );
    }
  assert.equal(clamdReplyReader(8).push(Buffer.from("x".repeat(100))), "xxxxxxxx");
  const cut = clamdReplyReader();
  assert.equal(cut.push(Buffer.from("stream: OK")), undefined);
  assert.equal(cut.end(), "stream: OK");
  assert.equal(clamdReplyReader().end(), undefined);
});

test("no bytes make the reader or the parser throw", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const reader = clamdReplyReader(64);
      for (const chunk of chunks) parseClamdReply(reader.push(chunk) ?? "");
      parseClamdReply(reader.end() ?? "");
    }),
  );
});
