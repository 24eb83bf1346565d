import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSaslauthdAnswer, saslauthdQuestion } from "./saslauthd.ts";

function counted(text: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

test("a question is user, password, service and realm, each with its length", () => {
  assert.deepEqual(
    saslauthdQuestion({ user: "joe", password: "päss", service: "smtp", realm: "" }),
    Buffer.concat([counted("joe"), counted("päss"), counted("smtp"), counted("")]),
  );
});

test("what saslauthd would not read is not sent", () => {
  assert.equal(saslauthdQuestion({ user: "joe", password: "x".repeat(2000), service: "smtp", realm: "" }), undefined);
});

test("an answer is yes or no, with words; anything else is trouble", () => {
  assert.deepEqual(parseSaslauthdAnswer(counted("OK success")), { kind: "right" });
  assert.deepEqual(parseSaslauthdAnswer(counted("NO authentication failed")), {
    kind: "wrong",
    because: "authentication failed",
  });
  assert.equal(typeof parseSaslauthdAnswer(counted("WHAT")), "string");
});

test("an answer that is cut anywhere is waited for", () => {
  const whole = counted("OK success");
  fc.assert(
    fc.property(fc.nat({ max: whole.length - 1 }), (length) => {
      assert.equal(parseSaslauthdAnswer(whole.subarray(0, length)), undefined);
    }),
  );
});
