import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { milterPacket, milterPacketReader, milterStrings } from "./packet.ts";

test("a packet is its length, its code and its parts, strings with their NUL", () => {
  assert.deepEqual([...milterPacket("H", "a.example")], [0, 0, 0, 11, 72, ...Buffer.from("a.example"), 0]);
  assert.deepEqual([...milterPacket("B", Buffer.from("x"))], [0, 0, 0, 2, 66, 120]);
});

test("a NUL in a string does not end it early", () => {
  const [heard] = valueOf(milterPacketReader()(milterPacket("M", "<a\0b>", "SIZE=1")));
  assert.deepEqual(milterStrings(heard?.data ?? Buffer.alloc(0)), ["<ab>", "SIZE=1"]);
});

test("packets are read however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("c", "h", "y"), fc.uint8Array({ maxLength: 60 })), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1, maxLength: 40 }),
      (packets, cuts) => {
        const stream = Buffer.concat(packets.map(([code, data]) => milterPacket(code, data)));
        const read = milterPacketReader();
        const heard: (readonly [string, number[]])[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1;
          for (const packet of valueOf(read(stream.subarray(at, at + size))))
            heard.push([packet.code, [...packet.data]]);
          at += size;
        }
        assert.deepEqual(
          heard,
          packets.map(([code, data]) => [code, [...data]]),
        );
      },
    ),
  );
});

test("a length that no packet has spoils the stream for good", () => {
  const read = milterPacketReader(100);
  assert.deepEqual(read(Buffer.from([0, 0, 0, 101])), { ok: false, problem: "a packet of 101 bytes" });
  assert.equal(read(milterPacket("c")).ok, false);
  assert.equal(milterPacketReader()(Buffer.from([0, 0, 0, 0])).ok, false);
});

test("no bytes make the reader throw", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (chunks) => {
      const read = milterPacketReader(64);
      for (const chunk of chunks) read(chunk);
    }),
  );
});

function valueOf<Value>(result: { ok: true; value: Value } | { ok: false; problem: string }): Value {
  if (!result.ok) throw new Error(result.problem);
  return result.value;
}
