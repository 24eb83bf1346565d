import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { mailFor } from "../../../testing/local-mail.ts";
import { deliveryFields, MailboxContent, type MailboxContentOptions } from "./mailbox-content.ts";

const plain: MailboxContentOptions = { isBinary: false, quotesFromLines: false };
const quoting: MailboxContentOptions = { isBinary: false, quotesFromLines: true };

function convert(text: string, options: MailboxContentOptions, ...cuts: number[]): string {
  const bytes = Buffer.from(text, "latin1");
  const content = new MailboxContent(options);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    // A copy that is overwritten afterwards: content must not keep views of its input.
    const chunk = Buffer.from(bytes.subarray(from, cut));
    pieces.push(Buffer.from(content.push(chunk)));
    chunk.fill(0);
    from = cut;
  }
  return Buffer.concat([...pieces, content.end()]).toString("latin1");
}

test("lines end in LF, and only true line ends are changed", () => {
  assert.equal(convert("A: b\r\n\r\nx\ry\r\r\nz\r\n", plain), "A: b\n\nx\ry\r\nz\n");
});

test("content without a last line end gets one", () => {
  assert.equal(convert("A: b\r\n\r\nend", plain), "A: b\n\nend\n");
  assert.equal(convert("A: b\r\n\r\n>", quoting), "A: b\n\n>\n");
});

test("a Return-Path from elsewhere goes, with its continuation lines, but not one in the body", () => {
  const text =
    "Return-Path: <a@b>\r\nA: b\r\nRETURN-PATH :\r\n\t<c@d>\r\nReturn-Pathology: e\r\n\r\nReturn-Path: f\r\n";
  assert.equal(convert(text, plain), "A: b\nReturn-Pathology: e\n\nReturn-Path: f\n");
});

test("From lines are quoted with one more mark, however many they have", () => {
  assert.equal(
    convert("\r\nFrom a\r\n>From b\r\n>>From c\r\nFrom: d\r\n >From e\r\n>Fro\r\n", quoting),
    "\n>From a\n>>From b\n>>>From c\nFrom: d\n >From e\n>Fro\n",
  );
  assert.equal(convert("\r\nFrom a\r\n", plain), "\nFrom a\n");
});

test("binary content is kept as it is", () => {
  assert.equal(
    convert("A: b\r\n\r\n\0\r\n\xff\r\n", { isBinary: true, quotesFromLines: false }),
    "A: b\r\n\r\n\0\r\n\xff\r\n",
  );
});

test("the same bytes cut anywhere give the same content", () => {
  const awkward = fc.array(
    fc.constantFrom(
      "\r",
      "\n",
      "\r\n",
      "From ",
      "Fro",
      ">",
      "m ",
      "Return-Path:",
      " ",
      "x",
      "A: b\r\n",
      "y".repeat(70),
    ),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(awkward, fc.array(fc.nat(200), { maxLength: 5 }), fc.boolean(), (parts, cuts, quotesFromLines) => {
      const text = parts.join("");
      const sorted = cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b);
      const options = { isBinary: false, quotesFromLines };
      assert.equal(convert(text, options, ...sorted), convert(text, options));
      const each = Array.from({ length: text.length }, (_, at) => at + 1);
      assert.equal(convert(text, options, ...each), convert(text, options));
    }),
    { numRuns: 300 },
  );
});

test("no line of a quoted body begins as a mail does, and taking one mark away gives the body back", () => {
  const lines = fc.array(fc.constantFrom("From x", ">From y", ">>From z", "From", "", ">", "text"), { maxLength: 12 });
  fc.assert(
    fc.property(lines, (body) => {
      const quoted = convert(`\r\n${body.map((line) => `${line}\r\n`).join("")}`, quoting);
      assert.ok(!/^From /m.test(quoted));
      assert.equal(quoted.replace(/^>(>*From )/gm, "$1"), `\n${body.map((line) => `${line}\n`).join("")}`);
    }),
  );
});

test("final delivery says who sent it, to whom, and to whom first where an alias led here", () => {
  const { message, envelope } = mailFor("maildir", 1, { sender: "" });
  assert.equal(deliveryFields(message, envelope), "Return-Path: <>\nDelivered-To: alice@example.org\n");
  assert.equal(
    deliveryFields({ ...message, sender: "b@c" }, { ...envelope, givenRecipient: "info@example.org" }),
    "Return-Path: <b@c>\nX-Original-To: info@example.org\nDelivered-To: alice@example.org\n",
  );
});

test("an address with line ends in it cannot add a field", () => {
  const { message, envelope } = mailFor("maildir");
  const fields = deliveryFields({ ...message, sender: '"a\r\nBcc: x"@b' }, envelope);
  assert.equal(fields.split("\n").length, 3);
});
