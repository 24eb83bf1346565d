import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as say from "./effects.ts";
import { readMessageAnswer, readStageAnswer } from "./read-answer.ts";

test("nothing said, and accept(), let the session proceed; tags go with whatever is said", () => {
  assert.deepEqual(readStageAnswer("rcpt", undefined), { ok: true, value: { kind: "proceed" } });
  assert.deepEqual(readStageAnswer("rcpt", say.accept()), { ok: true, value: { kind: "proceed" } });
  assert.deepEqual(readStageAnswer("connect", [say.tag("a", "b"), say.skip()]), {
    ok: true,
    value: { kind: "content", tags: ["a", "b"] },
  });
});

test("refusals carry the reply that was given, or one that fits", () => {
  const read = (said: say.SessionEffect) => {
    const verdict = readStageAnswer("mail", said);
    assert.ok(verdict.ok && verdict.value.kind === "refuse");
    return verdict.value.reply;
  };
  assert.deepEqual(read(say.reject(552, "5.3.4", "Too much")), { code: 552, status: "5.3.4", lines: ["Too much"] });
  assert.deepEqual(read(say.reject("No")), { code: 550, status: "5.7.1", lines: ["No"] });
  assert.equal(read(say.defer("Later")).code, 451);
  assert.deepEqual(read(say.defer(450, "4.2.0", "two\nlines")).lines, ["two", "lines"]);
});

test("what is not for a stage is a problem that says so", () => {
  const problem = (stage: Parameters<typeof readStageAnswer>[0], said: unknown): string => {
    const read = readStageAnswer(stage, said);
    return read.ok ? "fine" : read.problem;
  };
  assert.match(problem("helo", say.discard()), /no mail yet/);
  assert.match(problem("rcpt", say.rewriteSender("a@example.org")), /not for this stage/);
  assert.match(problem("rcpt", [say.reject("a"), say.discard()]), /besides refuse/);
  assert.match(problem("rcpt", say.rewriteRecipient("a@b@c>")), /rewrite-recipient with "a@b@c>"/);
  assert.match(problem("mail", say.addHeader("A", "b")), /nothing that it may say/);
  assert.match(problem("mail", false), /answered false/);
  assert.match(problem("mail", say.reject(250, "2.0.0", "Ok")), /code 250/);
  assert.match(problem("mail", say.reject(550, "4.0.0", "Ok")), /status "4.0.0"/);
  assert.match(problem("mail", say.tag("two words")), /the tag "two words"/);
});

test("a whole mail may be changed in many ways, and one fate decides", () => {
  const read = readMessageAnswer([
    say.addHeader("X-Spam", "yes", 0),
    say.changeHeader("Subject", "Grüße"),
    say.removeHeader("X-Old"),
    say.rewriteSender(""),
    say.addRecipient("c@example.org"),
    say.removeRecipient("d@example.org"),
    say.replaceBody("new\n"),
    say.chooseAction("archive"),
    say.score(7.5, { wanted: 5, symbols: "A B" }),
    say.tag("spam"),
    say.quarantine("too many links"),
  ]);
  assert.deepEqual(read, {
    ok: true,
    value: {
      fate: { kind: "quarantine" },
      because: "too many links",
      edits: [
        { edit: "add-field", name: "X-Spam", value: "yes", at: 0 },
        { edit: "change-field", name: "Subject", nth: 1, value: "=?UTF-8?B?R3LDvMOfZQ==?=" },
        { edit: "remove-field", name: "X-Old" },
        { edit: "sender", sender: "" },
        { edit: "add-recipient", recipient: "c@example.org" },
        { edit: "remove-recipient", recipient: "d@example.org" },
        { edit: "new-body", body: "new\n" },
      ],
      tags: ["spam"],
      action: "archive",
      score: { value: 7.5, wanted: 5, symbols: "A B" },
    },
  });
});

test("no value of a header field is another field, whatever it holds", () => {
  for (const value of ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\r\n b\r\n\r\nbody", "a\0b"])
    assert.equal(readMessageAnswer(say.addHeader("X", value)).ok, false, JSON.stringify(value));
  assert.equal(readMessageAnswer(say.addHeader("X\r\nBcc", "a")).ok, false);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("\r", "\n", " ", "\t", "a", ":", "ü", "\0") }), (value) => {
      const read = readMessageAnswer(say.addHeader("X", value));
      if (!read.ok) return;
      const [edit] = read.value.edits;
      assert.ok(edit?.edit === "add-field");
      assert.doesNotMatch(edit.value, /\r(?!\n)|(?<!\r)\n|\r\n(?![ \t])/);
    }),
  );
});

test("whatever a hook returns, reading it never throws", () => {
  fc.assert(
    fc.property(fc.anything(), fc.constantFrom("connect", "helo", "auth", "mail", "rcpt", "data"), (said, stage) => {
      readStageAnswer(stage, said);
      readMessageAnswer(said);
    }),
  );
  const effect = fc.record({
    effect: fc.constantFrom(
      "refuse",
      "tag",
      "add-header",
      "replace-body",
      "score",
      "rewrite-sender",
      "choose-action",
      "add-recipient",
    ),
    reply: fc.anything(),
    tags: fc.anything(),
    name: fc.anything(),
    value: fc.anything(),
    body: fc.anything(),
    to: fc.anything(),
  });
  fc.assert(
    fc.property(effect, (said) => {
      readStageAnswer("mail", said);
      readMessageAnswer(said);
    }),
  );
});
