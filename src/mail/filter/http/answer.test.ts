import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cpuWatch } from "../../../testing/cpu-watch.ts";
import { testMail } from "../../../testing/filter-mail.ts";
import { applyEdits } from "../header-edits.ts";
import { parseMessageAnswer, parseStageAnswer } from "./answer.ts";

const stage = (answer: unknown, at: Parameters<typeof parseStageAnswer>[1] = "mail") => {
  const parsed = parseStageAnswer(typeof answer === "string" ? answer : JSON.stringify(answer), at);
  return parsed.ok ? parsed.value : parsed.problem;
};
const message = (answer: unknown) => {
  const parsed = parseMessageAnswer(JSON.stringify(answer));
  return parsed.ok ? parsed.value : parsed.problem;
};

/** A problem, which is a text. */
const textOf = (outcome: unknown): string => (typeof outcome === "string" ? outcome : assert.fail("it was understood"));

test("nothing said is nothing against it", () => {
  for (const text of ["", "{}", " \n", '{"verdict":"proceed"}']) assert.deepEqual(stage(text), { kind: "proceed" });
  assert.deepEqual(message({}), { fate: { kind: "keep" }, edits: [] });
});

test("a refusal has the reply that was given, or a usual one", () => {
  assert.deepEqual(stage({ verdict: "refuse", reply: { code: 452, status: "4.3.1", text: "later\r\n250 ok" } }), {
    kind: "refuse",
    reply: { code: 452, status: "4.3.1", lines: ["later 250 ok"] },
  });
  assert.deepEqual(stage({ verdict: "refuse", reply: { code: 451 } }), {
    kind: "refuse",
    reply: { code: 451, status: "4.7.1", lines: ["Try again later"] },
  });
  assert.deepEqual(stage({ verdict: "disconnect" }, "connect"), {
    kind: "disconnect",
    reply: { code: 421, status: "4.7.1", lines: ["Try again later"] },
  });
});

test("tags, reasons and a new argument are taken where they make sense", () => {
  assert.deepEqual(stage({ verdict: "rewrite", to: "a@b.example", tags: ["vip"], because: "so" }), {
    kind: "rewrite",
    to: "a@b.example",
    tags: ["vip"],
    because: "so",
  });
  assert.equal(stage({ verdict: "rewrite" }), "it says rewrite, and not `to` what");
  assert.equal(
    stage({ verdict: "rewrite", to: "x" }, "data"),
    "it says rewrite at data, where there is nothing to rewrite",
  );
  assert.equal(stage({ verdict: "quarantine" }, "helo"), "it says quarantine at helo, where there is no mail yet");
});

test("what is no answer, or has a name that nobody knows, is a problem that says where", () => {
  for (const [text, says] of [
    ["<html>", /no JSON/],
    ["[]", /makes no sense/],
    ['"ok"', /makes no sense/],
    ['{"verdict":"reject"}', /makes no sense at verdict/],
    ['{"verdict":"refuse","reply":{"code":250}}', /at reply\.code/],
    ['{"verdict":"refuse","reply":{"code":550,"status":"4.7.1"}}', /another class/],
    ['{"tags":["two words"]}', /at tags\.0: expected a word/],
    ['{"verdit":"refuse"}', /makes no sense/],
  ] as const)
    assert.match(textOf(stage(text)), says, text);
  assert.match(textOf(message({ edits: [{ edit: "add-field", name: "X Y", value: "" }] })), /at edits\.0\.name/);
  assert.match(textOf(message({ edits: [{ edit: "replace-body", body: "€" }] })), /expected base64/);
  assert.match(textOf(message({ verdict: "rewrite" })), /at verdict/);
});

test("edits of a mail are the filters' own; values are folded and in ASCII, a new body is decoded", () => {
  const answer = message({
    edits: [
      { edit: "add-field", name: "X-A", value: "jürgen\r\nX-B: c", at: 0 },
      { edit: "change-field", name: "Subject", value: "x".repeat(20) },
      { edit: "remove-field", name: "X-C" },
      { edit: "replace-body", body: "SGVsbG8K" },
      { edit: "sender", sender: "" },
    ],
    action: "junk",
    score: { value: 3 },
  });
  assert.deepEqual(answer, {
    fate: { kind: "keep" },
    edits: [
      { edit: "add-field", name: "X-A", value: "=?UTF-8?B?asO8cmdlbg0KWC1COiBj?=", at: 0 },
      { edit: "change-field", name: "Subject", value: "x".repeat(20), nth: 1 },
      { edit: "remove-field", name: "X-C" },
      { edit: "new-body", body: Buffer.from("Hello\n") },
      { edit: "sender", sender: "" },
    ],
    action: "junk",
    score: { value: 3, symbols: "" },
  });
});

test("no value that a hook gives becomes more than one field", () => {
  const { header } = testMail("Subject: x\n\n");
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (value) => {
      const parsed = parseMessageAnswer(JSON.stringify({ edits: [{ edit: "add-field", name: "X-A", value }] }));
      assert.ok(parsed.ok);
      const edits = parsed.value.edits.flatMap((edit) => (edit.edit === "new-body" ? [] : [edit]));
      const fields = applyEdits(header, edits)
        .header.toString("latin1")
        .split(/\r\n(?![ \t])/);
      assert.equal(fields.length, 3);
    }),
  );
});

test("no text makes a parser throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      parseStageAnswer(text, "rcpt");
      parseMessageAnswer(text);
    }),
  );
});

test("a new body of megabytes that is none is soon refused", () => {
  const usedMs = cpuWatch();
  const body = `YQ==${" ".repeat(300_000)}!`;
  assert.equal(parseMessageAnswer(JSON.stringify({ edits: [{ edit: "replace-body", body }] })).ok, false);
  assert.equal(
    parseMessageAnswer(JSON.stringify({ edits: [{ edit: "replace-body", body: " ".repeat(300_000) + "!" }] })).ok,
    false,
  );
  assert.equal(parseMessageAnswer(JSON.stringify({ edits: [{ edit: "replace-body", body: "YQ ==\n" }] })).ok, true);
  assert.ok(usedMs() < 2000);
});
