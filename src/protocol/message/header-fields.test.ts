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
