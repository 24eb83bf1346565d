import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { changeDomains } from "./address-domains.ts";

const names = new Set(["from", "to", "cc"]);

/** Every name below example.org becomes example.org. */
function changed(header: string): string {
  const message = Buffer.from(`${header}\r\n\r\nTo: bob@pc.example.org\r\n`);
  const result = changeDomains(message, names, ({ domain }) =>
    domain.endsWith(".example.org") ? "example.org" : undefined,
  ).toString();
  assert.ok(result.endsWith("\r\n\r\nTo: bob@pc.example.org\r\n"), "the body is not looked at");
  return result.slice(0, -"\r\n\r\nTo: bob@pc.example.org\r\n".length);
}

const same = (header: string): void => assert.equal(changed(header), header);

test("addresses get the new domain, wherever they stand in the field", () => {
  assert.equal(changed("From: bob@pc.example.org"), "From: bob@example.org");
  assert.equal(
    changed("to:  Bob <bob@PC.Example.Org>,\r\n\tjane@a.b.example.org ,x@example.net"),
    "to:  Bob <bob@example.org>,\r\n\tjane@example.org ,x@example.net",
  );
  assert.equal(
    changed("Cc: friends: bob@pc.example.org, Jane <jane@pc.example.org>;, x@example.org"),
    "Cc: friends: bob@example.org, Jane <jane@example.org>;, x@example.org",
  );
  assert.equal(changed('From: "bob smith"@pc.example.org'), 'From: "bob smith"@example.org');
  assert.equal(changed('From: "a\\"@pc.example.org"@pc.example.org'), 'From: "a\\"@pc.example.org"@example.org');
});

test("names, comments, encoded words and folds stay octet by octet", () => {
  assert.equal(
    changed('From: "bob@pc.example.org (at \\" work" (see bob@pc.example.org \\) ) <bob@pc.example.org>'),
    'From: "bob@pc.example.org (at \\" work" (see bob@pc.example.org \\) ) <bob@example.org>',
  );
  assert.equal(
    changed("From: =?UTF-8?Q?J=C3=B6rg_x=40y?=\r\n =?UTF-8?B?w6Q=?=  <j@pc.example.org>"),
    "From: =?UTF-8?Q?J=C3=B6rg_x=40y?=\r\n =?UTF-8?B?w6Q=?=  <j@example.org>",
  );
  assert.equal(changed("From: Jörg Größe <jörg@pc.example.org>"), "From: Jörg Größe <jörg@example.org>");
});

test("other fields, addresses of others and literals stay", () => {
  same("Subject: mail to bob@pc.example.org");
  same("X-To: bob@pc.example.org");
  same("To: bob@[192.0.2.1], bob@example.com, bob");
  same("To: undisclosed-recipients:;");
});

test("what is no list of addresses stays as a whole, and so do forms of old", () => {
  same("To: bob@pc.example.org (unclosed");
  same("To: bob@pc.example.org jane@pc.example.org");
  same("To: <@relay.pc.example.org:bob@mail.example.com>");
  same("To: bob @ pc.example.org");
  same("Garbage");
});

test("lists beyond all measure are left alone, and what stands behind them is not", () => {
  const huge = `To: ${"x@pc.example.org,\r\n ".repeat(5000)}y@pc.example.org`;
  assert.equal(changed(`${huge}\r\nFrom: bob@pc.example.org`), `${huge}\r\nFrom: bob@example.org`);
});

test("a message without header fields, or cut anywhere, does no harm", () => {
  const header = 'From: "B" (c) <b@pc.example.org>,\r\n x@y.example.org\r\nSubject: x\r\n\r\n';
  for (let length = 0; length <= header.length; length++) {
    const message = Buffer.from(header.slice(0, length));
    changeDomains(message, names, () => "example.org");
  }
});

test("property: without a new domain nothing changes, and with one only domains do", () => {
  const text = fc.string({
    maxLength: 60,
    unit: fc.constantFrom(...'ab@.<>(),;:" \\[]=?é\t'.split(""), "\r\n ", "b@x.org"),
  });
  fc.assert(
    fc.property(text, (value) => {
      const message = Buffer.from(`From: ${value}\r\n\r\nbody`);
      assert.deepEqual(
        changeDomains(message, names, () => undefined),
        message,
      );
      const other = changeDomains(message, names, () => "b.org").toString();
      // What differs is a domain and nothing else: put back, the octets are those of before.
      const strip = (whole: string): string => whole.replace(/@[^\s<>()[\],;:"@\\]+/gu, "@");
      assert.equal(strip(other), strip(message.toString()));
    }),
    { numRuns: 3000 },
  );
});
