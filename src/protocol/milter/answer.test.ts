import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseMilterAnswer } from "./answer.ts";
import { milterNumber, milterPacket, milterPacketReader } from "./packet.ts";

function heard(code: string, ...parts: (string | Uint8Array)[]): ReturnType<typeof parseMilterAnswer> {
  const packets = milterPacketReader()(milterPacket(code, ...parts));
  assert.ok(packets.ok && packets.value[0] !== undefined);
  return parseMilterAnswer(packets.value[0]);
}

test("decisions are one letter", () => {
  for (const [code, says] of [
    ["c", "continue"],
    ["a", "accept"],
    ["r", "reject"],
    ["t", "tempfail"],
    ["d", "discard"],
    ["s", "skip"],
    ["p", "progress"],
    ["4", "shutdown"],
    ["f", "shutdown"],
  ] as const)
    assert.deepEqual(heard(code), { ok: true, value: { says } });
});

test("a decision with something behind it is not understood", () => {
  assert.deepEqual(heard("c", Buffer.from("x")), { ok: false, problem: "continue with 1 bytes behind it" });
});

test("changes carry a name, a value and where it goes", () => {
  assert.deepEqual(heard("h", "X-Test", "one\n\ttwo"), {
    ok: true,
    value: { says: "add-header", name: "X-Test", value: "one\n\ttwo" },
  });
  assert.deepEqual(heard("i", milterNumber(1), "X-Test", "v"), {
    ok: true,
    value: { says: "insert-header", index: 1, name: "X-Test", value: "v" },
  });
  assert.deepEqual(heard("m", milterNumber(2), "Subject", ""), {
    ok: true,
    value: { says: "change-header", index: 2, name: "Subject", value: "" },
  });
  assert.deepEqual(heard("b", Buffer.from("body\0")), {
    ok: true,
    value: { says: "replace-body", piece: Buffer.from("body\0") },
  });
});

test("addresses come with or without brackets, and parameters", () => {
  const added = { ok: true, value: { says: "add-recipient", recipient: "c@example.org" } };
  assert.deepEqual(heard("+", "<c@example.org>"), added);
  assert.deepEqual(heard("+", "c@example.org"), added);
  assert.deepEqual(heard("2", "<c@example.org>", "NOTIFY=NEVER"), added);
  assert.deepEqual(heard("-", "<c@example.org>"), {
    ok: true,
    value: { says: "remove-recipient", recipient: "c@example.org" },
  });
  assert.deepEqual(heard("e", "<>", ""), { ok: true, value: { says: "change-sender", sender: "" } });
});

test("an address cannot bring a second line", () => {
  assert.equal(heard("+", "<a@b>\r\nRCPT TO:<c@d>").ok, false);
  assert.equal(heard("e", "<a@b\n>").ok, false);
});

test("a field's name cannot bring a second field", () => {
  assert.equal(heard("h", "X: y\r\nZ", "v").ok, false);
  assert.equal(heard("h", "", "v").ok, false);
  assert.equal(heard("h", "X-Test").ok, false);
  assert.equal(heard("i", milterNumber(0xffff_ffff), "X", "v").ok, false);
});

test("a text without its end is not understood", () => {
  assert.deepEqual(heard("y", Buffer.from("550 5.7.1 no")), {
    ok: false,
    problem: '"y" with a text that does not end',
  });
});

test("no packet makes it throw, and what it gives holds no line end where none may be", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 80 }), (code, data) => {
      const answer = parseMilterAnswer({ code: String.fromCharCode(code), data: Buffer.from(data) });
      if (!answer.ok) return;
      const { value } = answer;
      if (value.says === "reply") assert.doesNotMatch(value.reply.lines.join(""), /[\r\n\0]/);
      if (value.says === "add-recipient") assert.doesNotMatch(value.recipient, /[\r\n\0<>]/);
      if ("name" in value) assert.match(value.name, /^[\x21-\x39\x3b-\x7e]+$/);
    }),
  );
});
