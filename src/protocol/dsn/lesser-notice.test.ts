import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { buildDsn, type Dsn } from "./dsn.ts";
import { hasLongLine, isAscii, isLineText } from "./encoding.ts";
import { lesserNotice } from "./lesser-notice.ts";

function notice(over: Partial<Dsn>): Buffer {
  return buildDsn({
    hostname: "mail.example.org",
    to: "bob@example.net",
    subject: "Your message could not be delivered",
    at: Date.UTC(2026, 10, 21, 12),
    messageId: "<20261121120000.N1@mail.example.org>",
    text: ["Sorry."],
    report: {
      reportingMta: "mail.example.org",
      recipients: [{ finalRecipient: "alice@example.org", action: "failed", status: "5.1.1" }],
    },
    boundaryWord: "06A7Q2MK0W1",
    ...over,
  }).bytes;
}

test("of an 8-bit message that a notice returns the header stays, as if that had been asked for", () => {
  for (const header of ["Subject: x\r\n", "Subject: \xe4\r\nTo: a@example\r\n"]) {
    const bytes = Buffer.from(`${header}\r\n\xe4\r\n`, "latin1");
    const alone = { kind: "header", bytes: Buffer.from(header, "latin1") } as const;
    const plain = lesserNotice(notice({ returned: { kind: "message", bytes } }), "8BITMIME");
    assert.equal(plain?.toString("latin1"), notice({ returned: alone }).toString("latin1"));
  }
  const noHeader = lesserNotice(
    notice({ returned: { kind: "message", bytes: Buffer.from("\r\n\xe4\r\n", "latin1") } }),
    "8BITMIME",
  );
  assert.ok(noHeader?.includes("text/rfc822-headers"));
});

test("parts with types of their own for UTF-8 are encoded whole", () => {
  const report = {
    reportingMta: "mail.example.org",
    recipients: [{ finalRecipient: "j\u00f6rg@example.org", action: "failed", status: "5.1.1" }],
  } as const;
  const returned = { kind: "message", bytes: Buffer.from("Subject: \u00e4\r\n\r\n\u00f6\r\n") } as const;
  const plain = lesserNotice(notice({ report, returned }), "8BITMIME")?.toString("latin1") ?? "";
  assert.ok(!plain.includes("8bit"));
  const encoded = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
  assert.ok(
    plain.includes(
      `Content-Type: message/global-delivery-status\r\n${encoded}Reporting-MTA: dns; mail.example.org\r\n`,
    ),
  );
  assert.ok(plain.includes("Final-Recipient: utf-8; j=C3=B6rg@example.org\r\n"));
  assert.ok(plain.includes(`Content-Type: message/global\r\n${encoded}Subject: =C3=A4\r\n\r\n=C3=B6\r\n`));
});

test("a notice that is too large loses the message, whatever that is in, and keeps its header", () => {
  for (const [header, body] of [
    ["Subject: x\r\n", "plain\r\n"],
    ["Subject: x\r\n", "\u00e4\r\n"],
    ["Subject: \u00e4\r\n", "\u00f6\r\n"],
  ] as const) {
    const whole = { kind: "message", bytes: Buffer.from(`${header}\r\n${body}`) } as const;
    const alone = { kind: "header", bytes: Buffer.from(header) } as const;
    assert.deepEqual(lesserNotice(notice({ returned: whole }), "SIZE"), notice({ returned: alone }));
    // One to an address beyond ASCII has a header of its own that no encoding helps; it is smaller all the same.
    const to = "b\u00f8b@example.net";
    const lesser = lesserNotice(notice({ to, returned: whole }), "SIZE")?.toString() ?? "";
    assert.ok(lesser.includes(`To: <${to}>\r\n`) && lesser.includes("text/rfc822-headers"), lesser);
    assert.ok(!lesser.includes(body) && !lesser.includes("Content-Transfer-Encoding: 8bit"), lesser);
  }
});

test("other mail, and a notice to an address beyond ASCII, are left alone", () => {
  assert.equal(lesserNotice(Buffer.from("Subject: x\r\n\r\n\xe4\r\n", "latin1"), "8BITMIME"), undefined);
  assert.equal(lesserNotice(Buffer.from("\xe4", "latin1"), "8BITMIME"), undefined);
  assert.equal(lesserNotice(notice({ to: "b\u00f8b@example.net" }), "8BITMIME"), undefined);
});

test("whatever is returned, the notice becomes ASCII with lines that may travel, and stays what it was where it is so already", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: "binary" }), (octets, name) => {
      const body = Buffer.from(octets)
        .toString("latin1")
        .replace(/[\0\r\n]/g, "\r\n");
      const bytes = Buffer.concat([
        Buffer.from(`A: ${name.replace(/[\0\r\n]/g, " ")}\r\n`),
        Buffer.from(body, "latin1"),
      ]);
      const before = notice({ returned: { kind: "message", bytes } });
      const plain = lesserNotice(before, "8BITMIME");
      assert.ok(plain !== undefined && isAscii(plain) && isLineText(plain) && !hasLongLine(plain));
      if (isAscii(before)) assert.deepEqual(plain, before);
    }),
  );
});
