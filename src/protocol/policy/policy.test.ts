import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { MOST_ANSWER_BYTES, policyAnswerReader, type PolicyAnswer } from "./answer-reader.ts";
import { parsePolicyAction } from "./answer.ts";
import { formatPolicyRequest, type PolicyAttributes } from "./request.ts";

const attributes: PolicyAttributes = {
  protocol_state: "RCPT",
  protocol_name: "ESMTP",
  recipient_count: 0,
  client_name: "unknown",
  reverse_client_name: "unknown",
  instance: "i1-3.1",
  size: 0,
  encryption_keysize: 0,
  sender: "eve@example.net",
};

function read(chunks: readonly Uint8Array[]): readonly PolicyAnswer[] {
  const reader = policyAnswerReader();
  return chunks.flatMap((chunk) => reader(chunk));
}

test("a question is lines of name=value with an empty one behind them; what is not known is told as empty", () => {
  const lines = formatPolicyRequest(attributes).split("\n");
  assert.equal(lines[0], "request=smtpd_access_policy");
  assert.ok(lines.includes("sender=eve@example.net"));
  assert.ok(lines.includes("sasl_username="));
  assert.deepEqual(lines.slice(-2), ["", ""]);
  assert.equal(new Set(lines.slice(0, -2).map((line) => line.split("=")[0])).size, lines.length - 2);
});

test("no value can add a line to a question, or end it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const told = formatPolicyRequest({ ...attributes, helo_name: text, sender: text });
      assert.equal(told.split("\n").length, formatPolicyRequest(attributes).split("\n").length);
      assert.equal(told.indexOf("\n\n"), told.length - 2);
    }),
  );
});

test("an answer is the value of action; other names are passed over", () => {
  const bytes = Buffer.from("foo=bar\r\naction=DEFER_IF_PERMIT Greylisted\n\naction=DUNNO\n\n");
  assert.deepEqual(read([bytes]), [
    { kind: "action", action: "DEFER_IF_PERMIT Greylisted" },
    { kind: "action", action: "DUNNO" },
  ]);
});

test("answers cut elsewhere are the same answers", () => {
  const bytes = Buffer.from("action=PREPEND X-Grey: ü\n\nx=y\naction=OK\n\n");
  for (let at = 0; at <= bytes.length; at++)
    assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), read([bytes]));
});

test("answers that are none are told once, and nothing is read behind them", () => {
  for (const bad of ["\n", "nonsense\n\n", "x=y\n\n", `action=${"x".repeat(MOST_ANSWER_BYTES)}`]) {
    const heard = read([Buffer.from(bad), Buffer.from("action=OK\n\n")]);
    assert.deepEqual(
      heard.map(({ kind }) => kind),
      ["broken"],
      JSON.stringify(bad.slice(0, 20)),
    );
  }
});

test("no bytes make the reader throw or keep more than an answer", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 }), (chunks) => {
      const heard = read(chunks);
      assert.ok(heard.filter(({ kind }) => kind === "broken").length <= 1);
    }),
  );
});

test("the actions of access(5) mean what they mean there", () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ["OK", { kind: "permit" }],
    ["1234", { kind: "permit" }],
    ["dunno", { kind: "dunno" }],
    ["REJECT", { kind: "refuse", text: "" }],
    ["REJECT 5.7.9 go away", { kind: "refuse", status: "5.7.9", text: "go away" }],
    ["550 5.1.1 nobody", { kind: "refuse", code: 550, status: "5.1.1", text: "nobody" }],
    ["450 later", { kind: "defer", code: 450, status: undefined, text: "later" }],
    ["421 4.7.0 bye", { kind: "defer", status: "4.7.0", text: "bye" }],
    ["DEFER", { kind: "defer", text: "" }],
    ["DEFER_IF_PERMIT 4.2.0 Greylisted", { kind: "defer-if-permit", status: "4.2.0", text: "Greylisted" }],
    ["DEFER_IF_REJECT wait", { kind: "defer-if-reject", text: "wait" }],
    ["PREPEND X-Grey: waited 300 s", { kind: "prepend", field: "X-Grey: waited 300 s" }],
    ["HOLD look at it", { kind: "hold", text: "look at it" }],
    ["DISCARD", { kind: "discard", text: "" }],
    ["REDIRECT a@example.org", { kind: "redirect", to: "a@example.org" }],
    ["BCC a@example.org", { kind: "copy", to: "a@example.org" }],
    ["FILTER smtp:[127.0.0.1]:10025", { kind: "filter", to: "smtp:[127.0.0.1]:10025" }],
    ["WARN odd", { kind: "warn", text: "odd" }],
    ["INFO seen", { kind: "info", text: "seen" }],
  ];
  for (const [written, action] of cases) {
    const parsed = parsePolicyAction(written);
    assert.ok(parsed.ok, written);
    assert.deepEqual(JSON.parse(JSON.stringify(parsed.value)), JSON.parse(JSON.stringify(action)), written);
  }
});

test("actions that are not known, or cannot be done, are told as such", () => {
  for (const bad of [
    "",
    "MAYBE",
    "PREPEND",
    "PREPEND no field",
    "PREPEND X: a\nY: b",
    "REDIRECT",
    "REDIRECT root",
    "BCC <a@b>",
    "FILTER",
  ])
    assert.equal(parsePolicyAction(bad).ok, false, bad);
});

test("whatever a server says, a client is told one line of printable ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      for (const word of ["REJECT", "550", "DEFER_IF_PERMIT"]) {
        const parsed = parsePolicyAction(`${word} ${text}`);
        if (parsed.ok && "text" in parsed.value) assert.match(parsed.value.text, /^[\x20-\x7e]*$/);
      }
    }),
  );
});
