import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { mailFate, replyOf, stageVerdict } from "./stage-verdict.ts";

test("a program's refusal is a reply with its code, status and text", () => {
  assert.deepEqual(replyOf("550 5.7.1 go away"), { code: 550, status: "5.7.1", lines: ["go away"] });
  assert.deepEqual(replyOf("451 later"), { code: 451, status: "4.7.1", lines: ["later"] });
  assert.deepEqual(replyOf("554"), { code: 554, status: "5.7.1", lines: ["refused by policy"] });
});

test("a refusal without a code of refusals is for good", () => {
  assert.deepEqual(replyOf("250 fine"), { code: 550, status: "5.7.1", lines: ["250 fine"] });
  assert.deepEqual(replyOf("no"), { code: 550, status: "5.7.1", lines: ["no"] });
});

test("a status that contradicts its code is text", () => {
  assert.deepEqual(replyOf("550 4.7.1 so"), { code: 550, status: "5.7.1", lines: ["4.7.1 so"] });
});

test("whatever a program says, the client gets one line of printable text and a refusal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 600 }), (text) => {
      const { code, lines } = replyOf(text);
      assert.ok(code >= 400 && code <= 599);
      assert.match(lines.join("|"), /^[\x20-\x7e]{1,400}$/);
    }),
  );
});

test("a 421 ends the session, at the end of a mail as well", () => {
  assert.equal(stageVerdict({ kind: "reject", parameter: "421 bye" }, "rcpt").kind, "disconnect");
  const fate = mailFate({ kind: "disconnect", parameter: "421 bye" });
  assert.equal(fate.kind === "refuse" && fate.reply.code, 421);
});

test("an address may be rewritten with brackets or without, and to nobody only as sender", () => {
  const to = (parameter: string, stage: "mail" | "rcpt"): unknown => {
    const verdict = stageVerdict({ kind: "rewrite", parameter }, stage);
    return verdict.kind === "rewrite" ? verdict.to : verdict.kind;
  };
  assert.equal(to("<a@example.net> SIZE=100", "mail"), "a@example.net");
  assert.equal(to("a@example.net", "rcpt"), "a@example.net");
  assert.equal(to("<>", "mail"), "");
  assert.throws(() => to("<>", "rcpt"), { code: "FILTER_FAILED" });
  assert.throws(() => to("a b@example.net", "mail"), { code: "FILTER_FAILED" });
});

test("what has no argument cannot be rewritten", () => {
  for (const stage of ["connect", "auth", "data"] as const)
    assert.throws(() => stageVerdict({ kind: "rewrite", parameter: "x" }, stage), { code: "FILTER_FAILED" });
  assert.throws(() => mailFate({ kind: "rewrite", parameter: "x" }), { code: "FILTER_FAILED" });
});
