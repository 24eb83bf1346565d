import assert from "node:assert/strict";
import { test } from "node:test";
import { masqueradeDomain, masqueradeHeader, masqueradeSender } from "./masquerade.ts";
import { masqueradeSettings } from "./settings.ts";

const settings = masqueradeSettings.parse({
  domains: ["!keep.example.org", "dept.example.org", "Example.ORG"],
  exceptions: ["root"],
});

test("the first entry that a name is below decides; the entries themselves stay", () => {
  const of = (domain: string): string | undefined => masqueradeDomain(settings, "bob", domain);
  assert.equal(of("pc.example.org"), "example.org");
  assert.equal(of("a.b.example.org"), "example.org");
  assert.equal(of("pc.dept.example.org"), "dept.example.org");
  assert.equal(of("dept.example.org"), undefined);
  assert.equal(of("keep.example.org"), undefined);
  assert.equal(of("pc.keep.example.org"), undefined);
  assert.equal(of("example.org"), undefined);
  assert.equal(of("notexample.org"), undefined);
  assert.equal(masqueradeDomain(settings, "Root", "pc.example.org"), undefined);
});

test("the envelope's sender loses its host, quotes and all else kept; the null sender stays null", () => {
  assert.equal(masqueradeSender(settings, "bob@pc.example.org"), "bob@example.org");
  assert.equal(masqueradeSender(settings, '"b@b"@pc.example.org'), '"b@b"@example.org');
  assert.equal(masqueradeSender(settings, ""), "");
  assert.equal(masqueradeSender(settings, "bob@[192.0.2.1]"), "bob@[192.0.2.1]");
  assert.equal(
    masqueradeSender({ ...settings, classes: ["header-sender"] }, "bob@pc.example.org"),
    "bob@pc.example.org",
  );
});

const header =
  "From: Bob <bob@pc.example.org>\r\nTo: x@other.example.org,\r\n root@pc.example.org\r\nResent-Cc: y@z.example.org\r\n" +
  "Subject: bob@pc.example.org\r\n\r\nFrom: bob@pc.example.org\r\n";

test("fields of senders and of recipients are changed by their class, and nothing else is", () => {
  const both = masqueradeHeader(settings, Buffer.from(header)).toString();
  assert.equal(
    both,
    "From: Bob <bob@example.org>\r\nTo: x@example.org,\r\n root@pc.example.org\r\nResent-Cc: y@example.org\r\n" +
      "Subject: bob@pc.example.org\r\n\r\nFrom: bob@pc.example.org\r\n",
  );
  const senders = masqueradeHeader({ ...settings, classes: ["header-sender"] }, Buffer.from(header)).toString();
  assert.match(senders, /^From: Bob <bob@example\.org>\r\nTo: x@other\.example\.org,/);
});

test("what is signed stays as it is", () => {
  const signed = Buffer.from(`DKIM-Signature: v=1; d=example.org\r\n${header}`);
  assert.equal(masqueradeHeader(settings, signed), signed);
});
