import { test } from "node:test";
import assert from "node:assert/strict";
import { formatListed } from "./address-list.ts";
import { parseHeaderSection, recipientsOf, valuesOf, withoutFields } from "./header-fields.ts";

const message = Buffer.from(
  "To: a@b,\r\n c@d\r\nBcc: secret@x\r\n (folded)\r\nSubject: s\r\nbcc : other@x\r\nCc: e@f\r\n\r\nBcc: in the body\r\n",
);

test("fields are found with their places, folded or not", () => {
  const header = parseHeaderSection(message);
  assert.deepEqual(
    header.fields.map((field) => field.name),
    ["To", "Bcc", "Subject", "bcc", "Cc"],
  );
  assert.deepEqual(valuesOf(header, "TO"), ["a@b, c@d"]);
  assert.equal(message.subarray(header.bodyAt).toString(), "Bcc: in the body\r\n");
});

test("Bcc fields are taken out, with their folds, and nothing else is touched", () => {
  const kept = withoutFields(message, parseHeaderSection(message), "Bcc").toString();
  assert.equal(kept, "To: a@b,\r\n c@d\r\nSubject: s\r\nCc: e@f\r\n\r\nBcc: in the body\r\n");
  assert.equal(withoutFields(message, parseHeaderSection(message), "X-None"), message);
});

test("the recipients of a message are those of To, Cc and Bcc", () => {
  const recipients = recipientsOf(parseHeaderSection(message));
  assert.ok(recipients.ok);
  assert.deepEqual(
    recipients.value.map((address) => formatListed(address)),
    ["a@b", "c@d", "e@f", "secret@x", "other@x"],
  );
});

test("a message that was sent again goes to its Resent recipients only", () => {
  const resent = parseHeaderSection(Buffer.from("Resent-To: n@x\nTo: a@b\n\n"));
  const recipients = recipientsOf(resent);
  assert.ok(recipients.ok);
  assert.deepEqual(
    recipients.value.map((address) => formatListed(address)),
    ["n@x"],
  );
});

test("of several resendings the last one counts, whose block stands first", () => {
  const older = "Resent-From: o@x\nResent-Date: Sat, 21 Nov 2026 12:00:00 +0000\nResent-To: old@x\nResent-Cc: more@x\n";
  for (const [header, ...wanted] of [
    [`Resent-From: n@x\nResent-To: new@x\n${older}To: a@b\n\n`, "new@x"],
    [`Resent-To: new@x\nReceived: by x\n${older}To: a@b\n\n`, "new@x"],
    [
      `Received: by y\nResent-To: new@x\nResent-Bcc: also@x\nReturn-Path: <o@x>\nResent-Cc: more@x\nTo: a@b\n\n`,
      "new@x",
      "also@x",
    ],
    // What one program scatters over the header, or writes in several fields, is one block: nobody in it is forgotten.
    [`Resent-To: new@x\nResent-To: two@x\nSubject: x\nResent-Cc: three@x\nTo: a@b\n\n`, "new@x", "two@x", "three@x"],
  ]) {
    const recipients = recipientsOf(parseHeaderSection(Buffer.from(header ?? "")));
    assert.ok(recipients.ok);
    assert.deepEqual(
      recipients.value.map((address) => formatListed(address)),
      wanted,
    );
  }
});

test("a list that cannot be read names its field", () => {
  const recipients = recipientsOf(parseHeaderSection(Buffer.from("Cc: a b@c\n\n")));
  assert.deepEqual(recipients, { ok: false, problem: { at: 2, expected: "a comma in Cc" } });
});

test("LF lines, a header without a body and a body without a header are read", () => {
  const lf = parseHeaderSection(Buffer.from("A: b\n c\nB: d\n\nbody"));
  assert.deepEqual([lf.fields.length, lf.end, lf.bodyAt], [2, 13, 14]);
  const noBody = parseHeaderSection(Buffer.from("A: b"));
  assert.deepEqual([noBody.fields.length, noBody.bodyAt], [1, 4]);
  const noHeader = parseHeaderSection(Buffer.from("hello\nA: b\n"));
  assert.deepEqual([noHeader.fields.length, noHeader.bodyAt], [0, 0]);
});
