import { test } from "node:test";
import assert from "node:assert/strict";
import { decodeWords } from "./decode-words.ts";
import { unfold } from "./field.ts";
import { HeaderScanner } from "./header-scanner.ts";
import { missingFields, type FieldsToAdd } from "./missing-fields.ts";

const add: FieldsToAdd = {
  at: Date.UTC(2025, 10, 21, 2, 5, 9),
  offsetMinutes: 0,
  id: "2JZ4K0A3B1C",
  host: "mx.example",
  sender: "a@b.example",
};

function missing(message: string, changes: Partial<FieldsToAdd> = {}): string {
  const scanner = new HeaderScanner({ maxHeaderBytes: 10_000 });
  scanner.push(Buffer.from(message));
  return missingFields(scanner.end(), { ...add, ...changes });
}

test("what is missing is added, what is there is left alone", () => {
  assert.equal(
    missing("Subject: x\r\n\r\n"),
    "Message-ID: <20251121020509.2JZ4K0A3B1C@mx.example>\r\n" +
      "Date: Fri, 21 Nov 2025 02:05:09 +0000\r\n" +
      "From: a@b.example\r\n",
  );
  assert.equal(missing("date: x\r\nmessage-id: y\r\nFROM: z\r\n\r\n"), "");
  assert.equal(missing("Date: x\r\nMessage-ID: y\r\n\r\nFrom: in the body"), "From: a@b.example\r\n");
});

test("a From field is somebody's, with a name where one is known, and cannot be broken out of", () => {
  const from = (changes: Partial<FieldsToAdd>) => missing("Date: x\r\nMessage-ID: y\r\n\r\n", changes);
  assert.equal(from({ sender: "" }), "From: MAILER-DAEMON@mx.example\r\n");
  assert.equal(from({ senderName: "Ann Other" }), "From: Ann Other <a@b.example>\r\n");
  assert.equal(from({ senderName: 'A. "X" <y>\r\nBcc: z@z' }), 'From: "A. \\"X\\" <y> Bcc: z@z" <a@b.example>\r\n');
  // RFC 5322 has ASCII only, and nobody asked for SMTPUTF8 for the sake of a name.
  const named = from({ senderName: 'J\u00fcrgen "J\u00fc" M\u00fcller\r\nBcc: z@z' });
  assert.match(named, /^From: (?:=\?UTF-8\?B\?[A-Za-z0-9+/=]+\?=\s+)+<a@b\.example>\r\n$/);
  assert.equal(decodeWords(unfold(named)), 'From: J\u00fcrgen "J\u00fc" M\u00fcller Bcc: z@z <a@b.example>');
  assert.equal(from({ sender: "a@b>\r\nBcc: c@d" }), "From: MAILER-DAEMON@mx.example\r\n");
});
