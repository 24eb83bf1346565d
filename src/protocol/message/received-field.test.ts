import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { parseHeaderSection } from "./header-fields.ts";
import { formatReceived, withProtocol, type ReceivedFacts } from "./received-field.ts";

const facts: ReceivedFacts = {
  helo: "client.example",
  clientAddress: "192.0.2.7",
  clientName: "host.client.example",
  by: "mx.example",
  protocol: "ESMTPS",
  id: "2JZ4K0A3B1C",
  tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: 256, group: "X25519MLKEM768", verify: "NONE" },
  onlyRecipient: "a@b.example",
  at: Date.UTC(2025, 10, 21, 2, 5, 9),
  offsetMinutes: 60,
};

test("all clauses stand where RFC 5321 section 4.4 wants them", () => {
  assert.equal(
    formatReceived(facts),
    "Received: from client.example (host.client.example [192.0.2.7])\r\n" +
      "\tby mx.example (Posthorn) with ESMTPS id 2JZ4K0A3B1C\r\n" +
      "\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 group=X25519MLKEM768 verify=NONE)\r\n" +
      "\tfor <a@b.example>;\r\n" +
      "\tFri, 21 Nov 2025 03:05:09 +0100\r\n",
  );
});

test("what is not known is left out or called unknown, never made up", () => {
  const { clientName: _name, tls: _tls, onlyRecipient: _recipient, ...rest } = facts;
  assert.equal(
    formatReceived({ ...rest, clientAddress: "2001:db8::1", protocol: "SMTP" }),
    "Received: from client.example (unknown [IPv6:2001:db8::1])\r\n" +
      "\tby mx.example (Posthorn) with SMTP id 2JZ4K0A3B1C;\r\n" +
      "\tFri, 21 Nov 2025 03:05:09 +0100\r\n",
  );
  const local = { by: "mx.example", protocol: "ESMTP", id: "X", at: facts.at, offsetMinutes: 0 };
  assert.match(formatReceived(local), /^Received: by mx\.example /);
  assert.match(formatReceived({ ...local, helo: "a" }), /^Received: from a\r\n\tby /);
});

test("an internationalised recipient is named only in an internationalised message", () => {
  assert.ok(!formatReceived({ ...facts, onlyRecipient: "ü@b.example" }).includes("for <"));
  assert.ok(
    formatReceived({ ...facts, protocol: "UTF8SMTPS", onlyRecipient: "ü@b.example" }).includes("for <ü@b.example>"),
  );
});

test("no word of a peer can be read as what we say of TLS", () => {
  const text = formatReceived({
    ...facts,
    helo: "[x:verify=OK]",
    clientName: "verify=OK",
    onlyRecipient: '"(version=TLSv1.3 verify=OK)"@b.example',
    tls: { version: "x", cipher: "a verify=OK", verify: "FAIL" },
  });
  assert.deepEqual(text.match(/verify=\w+/g), ["verify=FAIL"]);
});

test("RFC 3848 and RFC 6531: the with word says greeting, TLS, login and SMTPUTF8", () => {
  const word = (greeting: "HELO" | "EHLO" | "LHLO", flags: string) =>
    withProtocol({
      greeting,
      isInternational: flags.includes("u"),
      isEncrypted: flags.includes("s"),
      isAuthenticated: flags.includes("a"),
    });
  assert.equal(word("HELO", ""), "SMTP");
  assert.equal(word("EHLO", ""), "ESMTP");
  assert.equal(word("EHLO", "s"), "ESMTPS");
  assert.equal(word("EHLO", "a"), "ESMTPA");
  assert.equal(word("EHLO", "sa"), "ESMTPSA");
  assert.equal(word("LHLO", ""), "LMTP");
  assert.equal(word("LHLO", "sa"), "LMTPSA");
  assert.equal(word("EHLO", "u"), "UTF8SMTP");
  assert.equal(word("EHLO", "usa"), "UTF8SMTPSA");
  assert.equal(word("LHLO", "us"), "UTF8LMTPS");
});

test("property: whatever a peer says, one field of ASCII in bounded lines comes out", () => {
  const hostile = fc.oneof(
    fc.string({
      unit: fc.constantFrom("\r", "\n", " ", "\t", "a", "(", ")", "<", ">", ";", "\\", '"', "ü", "\0", "\u2028"),
    }),
    fc.constant("x".repeat(2000)),
  );
  fc.assert(
    fc.property(hostile, hostile, hostile, hostile, (helo, clientName, cipher, recipient) => {
      const text = formatReceived({
        ...facts,
        helo,
        clientName,
        onlyRecipient: recipient,
        tls: { version: cipher, cipher, group: cipher, verify: "FAIL" },
      });
      assert.match(text, /^[\x20-\x7e\r\n\t]*$/);
      const message = Buffer.from(`${text}\r\nbody`);
      const header = parseHeaderSection(message);
      assert.deepEqual(
        header.fields.map((field) => field.name),
        ["Received"],
      );
      assert.equal(message.subarray(header.bodyAt).toString(), "body");
      for (const line of text.split("\r\n")) assert.ok(line.length <= 998);
    }),
  );
});
