import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { buildDsn, type Dsn } from "./dsn.ts";
import { hasLongLine, isLineText } from "./encoding.ts";

const NOON = Date.UTC(2026, 10, 21, 12, 0, 0);

function dsn(over: Partial<Dsn> = {}): Dsn {
  return {
    hostname: "mail.example.org",
    to: "bob@example.net",
    subject: "Your message could not be delivered",
    at: NOON,
    messageId: "<20261121120000.N1@mail.example.org>",
    text: ["This is the mail server.", "", "Sorry."],
    report: {
      reportingMta: "mail.example.org",
      recipients: [{ finalRecipient: "alice@example.org", action: "failed", status: "5.1.1" }],
    },
    boundaryWord: "06A7Q2MK0W1",
    ...over,
  };
}

function partsOf(bytes: Buffer): { readonly header: string; readonly parts: readonly string[] } {
  const text = bytes.toString("latin1");
  const at = text.indexOf("\r\n\r\n");
  const header = text.slice(0, at + 2);
  const boundary = /boundary="([^"]+)"/.exec(header)?.[1] ?? "";
  const pieces = text.slice(at + 4).split(`\r\n--${boundary}`);
  assert.equal(pieces.at(-1), "--\r\n");
  return { header, parts: pieces.slice(1, -1).map((piece) => piece.replace(/^\r\n/, "")) };
}

test("a notice says what it is in its header", () => {
  const { header } = partsOf(buildDsn(dsn({ inReplyTo: "<orig@example.net>" })).bytes);
  assert.equal(
    header,
    "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n" +
      "From: Mail delivery system <MAILER-DAEMON@mail.example.org>\r\n" +
      "To: <bob@example.net>\r\n" +
      "Subject: Your message could not be delivered\r\n" +
      "Message-ID: <20261121120000.N1@mail.example.org>\r\n" +
      "Auto-Submitted: auto-replied\r\n" +
      "In-Reply-To: <orig@example.net>\r\n" +
      "References: <orig@example.net>\r\n" +
      "MIME-Version: 1.0\r\n" +
      "Content-Type: multipart/report; report-type=delivery-status;\r\n" +
      ' boundary="=_06A7Q2MK0W1_0"\r\n',
  );
});

test("a Message-ID that is none is not answered to", () => {
  for (const inReplyTo of ["", "x", "<a b>", "<a>\r\nBcc: x", "<é@x>"]) {
    assert.ok(!buildDsn(dsn({ inReplyTo })).bytes.includes("In-Reply-To"), inReplyTo);
  }
});

test("the report for programs has every field that is known, in the order of RFC 3464", () => {
  const report = {
    reportingMta: "mail.example.org",
    queueId: "06A7Q2MK0W1",
    arrivalAt: NOON,
    originalEnvelopeId: "QQ 314",
    recipients: [
      {
        finalRecipient: "alice@example.org",
        originalRecipient: "rfc822;info@example.org",
        action: "delayed" as const,
        status: "4.4.1",
        remoteMta: "mx.example.org",
        diagnostic: { type: "smtp" as const, text: "451 4.4.1 later" },
        lastAttemptAt: NOON + 1000,
        willRetryUntilAt: NOON + 86_400_000,
      },
      { finalRecipient: "carol@example.org", action: "failed" as const, status: "5.1.1" },
    ],
  };
  const status = partsOf(buildDsn(dsn({ report })).bytes).parts[1];
  assert.equal(
    status,
    "Content-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n" +
      "Reporting-MTA: dns; mail.example.org\r\n" +
      "Original-Envelope-Id: QQ 314\r\n" +
      "X-Posthorn-Queue-ID: 06A7Q2MK0W1\r\n" +
      "Arrival-Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n" +
      "Original-Recipient: rfc822; info@example.org\r\n" +
      "Final-Recipient: rfc822; alice@example.org\r\n" +
      "Action: delayed\r\nStatus: 4.4.1\r\nRemote-MTA: dns; mx.example.org\r\n" +
      "Diagnostic-Code: smtp; 451 4.4.1 later\r\n" +
      "Last-Attempt-Date: Sat, 21 Nov 2026 12:00:01 +0000\r\n" +
      "Will-Retry-Until: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\n" +
      "Final-Recipient: rfc822; carol@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n",
  );
});

test("what is returned is named by its kind: message or header, ASCII or not", () => {
  const cases = [
    ["message", "A: b\r\n\r\nx\r\n", "message/rfc822", "7bit"],
    ["message", "A: b\r\n\r\n\u00e9\r\n", "message/rfc822", "8bit"],
    ["message", "A: \u00e9\r\n\r\nx\r\n", "message/global", "8bit"],
    ["header", "A: b\r\n", "text/rfc822-headers; charset=us-ascii", "7bit"],
    ["header", "A: \u00e9\r\n", "text/rfc822-headers; charset=utf-8", "7bit"],
    ["header", `A: ${"x".repeat(2000)}\r\n`, "text/rfc822-headers; charset=us-ascii", "7bit"],
  ] as const;
  for (const [kind, text, type, bits] of cases) {
    const built = buildDsn(dsn({ returned: { kind, bytes: Buffer.from(text) } }));
    const part = partsOf(built.bytes).parts[2] ?? "";
    assert.ok(part.includes(`Content-Type: ${type}\r\n`), `${text}: ${part}`);
    assert.equal(built.is8bit ? "8bit" : "7bit", bits, text);
    assert.equal(built.is8bit, partsOf(built.bytes).header.includes("Content-Transfer-Encoding: 8bit"));
    assert.ok(!hasLongLine(built.bytes));
  }
  const returned = { kind: "header", bytes: Buffer.from("A: \u00e9\r\n") } as const;
  assert.ok(
    buildDsn(dsn({ to: "bøb@example.net", returned })).bytes.includes("Content-Type: message/global-headers\r\n"),
  );
  const latin1 = buildDsn(dsn({ returned: { kind: "header", bytes: Buffer.from("A: \xe9\r\n", "latin1") } }));
  assert.ok(latin1.bytes.includes("text/rfc822-headers; charset=unknown-8bit"));
  assert.ok(latin1.bytes.includes("A: =E9\r\n"));
});

test("a remote host's words beyond ASCII do not make an ASCII report 8bit", () => {
  const recipient = {
    finalRecipient: "a@b",
    action: "failed",
    status: "5.0.0",
    diagnostic: { type: "smtp", text: "550 Empfänger unbekannt" },
  } as const;
  const built = buildDsn(dsn({ report: { reportingMta: "m", recipients: [recipient] } }));
  assert.ok(!built.is8bit);
  assert.ok(built.bytes.includes("smtp; 550 Empf?nger unbekannt"));
});

test("addresses beyond ASCII make an internationalised report, with their own address type", () => {
  const recipient = { finalRecipient: "jörg@example.org", action: "failed", status: "5.1.1" } as const;
  const built = buildDsn(dsn({ to: "bøb@example.net", report: { reportingMta: "m", recipients: [recipient] } }));
  assert.ok(built.is8bit && built.isInternational);
  assert.ok(built.bytes.includes("message/global-delivery-status"));
  assert.ok(built.bytes.includes("Final-Recipient: utf-8; jörg@example.org"));
  for (const original of ["rfc822;jürg@example.org", "utf-8;jürg@example.org", "jürg@example.org"]) {
    const given = { originalRecipient: original, finalRecipient: "alice@example.org", action: "failed" } as const;
    const report = { reportingMta: "mail.example.org", recipients: [{ ...given, status: "5.1.1" }] };
    const { bytes } = buildDsn(dsn({ report }));
    assert.ok(bytes.includes("Original-Recipient: utf-8; jürg@example.org\r\n"), original);
    assert.ok(bytes.includes("message/global-delivery-status"), original);
  }
  assert.ok(built.bytes.includes("To: <bøb@example.net>"));
});

test("a notice to an address that has a form in ASCII has that form, and goes where nobody knows SMTPUTF8", () => {
  const built = buildDsn(dsn({ to: "bob@b\u00fccher.example" }));
  assert.deepEqual([built.isInternational, built.is8bit], [false, false]);
  assert.ok(built.bytes.includes("To: <bob@xn--bcher-kva.example>\r\n"));
  for (const to of ["b\u00f8b@b\u00fccher.example", "b\u00f8b"]) {
    const international = buildDsn(dsn({ to }));
    assert.ok(international.isInternational && international.bytes.includes(`To: <${to}>\r\n`), to);
  }
});

test("a boundary that stands in what is returned is not used", () => {
  const bytes = Buffer.from("A: b\r\n\r\n--=_06A7Q2MK0W1_0\r\n--=_06A7Q2MK0W1_1--\r\n");
  const built = buildDsn(dsn({ returned: { kind: "message", bytes } }));
  assert.ok(built.bytes.includes('boundary="=_06A7Q2MK0W1_2"'));
  assert.equal(partsOf(built.bytes).parts.length, 3);
});

test("whatever people and peers put into it, a notice has true line ends, short lines and a header of its own fields", () => {
  const text = fc.string({ unit: "binary", maxLength: 2000 });
  fc.assert(
    fc.property(text, text, text, text, text, (subject, line, diagnostic, envelopeId, original) => {
      const built = buildDsn(
        dsn({
          subject,
          text: [line.replace(/[\r\n\0]/g, " ")],
          report: {
            reportingMta: "m",
            originalEnvelopeId: envelopeId,
            recipients: [
              {
                finalRecipient: "a@b",
                originalRecipient: original,
                action: "failed",
                status: "5.0.0",
                diagnostic: { type: "smtp", text: diagnostic },
              },
            ],
          },
        }),
      );
      assert.ok(isLineText(built.bytes));
      assert.ok(!hasLongLine(built.bytes));
      const { header, parts } = partsOf(built.bytes);
      const names = [...header.matchAll(/^([^ \t:]+):/gm)].map((match) => match[1]);
      assert.ok(names.length <= 9 && !names.includes("Bcc"), names.join());
      assert.equal(parts.length, 2);
      assert.equal(parts[1]?.split("\r\n\r\n").length, 3);
    }),
    { numRuns: 100 },
  );
});
