import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readDropped, writeDropped } from "./dropped-mail.ts";

test("what was written is read again, whatever the content", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.array(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 5 }),
      fc.uint8Array(),
      (sender, recipients, content) => {
        const mail = { sender: sender.toWellFormed(), recipients: recipients.map((one) => one.toWellFormed()) };
        const read = readDropped(writeDropped(mail, content));
        assert.ok(read.ok);
        assert.deepEqual(read.value.mail, mail);
        assert.deepEqual(new Uint8Array(read.value.content), content);
      },
    ),
  );
});

test("nothing that somebody else wrote is taken for a mail, or throws", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void readDropped(Buffer.from(bytes))));
  for (const head of [
    "",
    "{}",
    '{"posthorn":0,"sender":"a@b.c","recipients":["d@e.f"]}',
    '{"posthorn":1,"sender":"a@b.c","recipients":[]}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"account":"root"}',
    '{"posthorn":1,"recipients":["d@e.f"]}',
    // What would be said to the server beside what is meant.
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"notify":"NEVER\\r\\nRSET"}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"notify":"NEVER,SUCCESS"}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"notify":""}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"verp":"\\r\\nQUIT"}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"verp":"+"}',
    '{"posthorn":1,"sender":"a@b.c","recipients":["d@e.f"],"envelopeId":"a\\nb"}',
    "[1,2",
    "null",
  ])
    assert.equal(readDropped(Buffer.from(`${head}\ncontent`)).ok, false, head);
});

test("wishes for notices are taken as sendmail writes them, and what is wrong with others is said", () => {
  const mail = { sender: "", recipients: ["d@e.f"], notify: "SUCCESS,DELAY", envelopeId: "a b", verp: "" };
  const read = readDropped(writeDropped({ ...mail, dsnReturn: "HDRS" }, Buffer.from("x")));
  assert.ok(read.ok);
  assert.deepEqual(read.value.mail, { ...mail, dsnReturn: "HDRS" });
  const wrong = readDropped(writeDropped({ ...mail, notify: "ALWAYS" }, Buffer.from("x")));
  assert.ok(!wrong.ok);
  assert.match(wrong.problem.expected, /notify is NEVER, or a list of SUCCESS, FAILURE, DELAY/);
});

test("a mail of a newer format is known for that, whatever else is in it", () => {
  const read = readDropped(Buffer.from('{"posthorn":2,"to":["d@e.f"]}\ncontent'));
  assert.ok(!read.ok);
  assert.deepEqual(read.problem, { at: 0, expected: "format 1, and found 2, a newer Posthorn's", isNewer: true });
  const broken = readDropped(Buffer.from('{"posthorn":1,"to":["d@e.f"]}\ncontent'));
  assert.ok(!broken.ok);
  assert.equal(broken.problem.isNewer, undefined);
});
