import assert from "node:assert/strict";
import { normalize } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { mailboxNames, mailboxPath, safeComponent } from "./path-template.ts";

const pathFor = (recipient: string): string =>
  mailboxPath("/mail/{domain}/{user}/Maildir", mailboxNames(recipient, "+"));

test("a recipient's case does not matter, nor does the extension", () => {
  assert.equal(pathFor("Alice+Lists@Example.ORG"), "/mail/example.org/alice/Maildir");
  assert.equal(pathFor("alice@example.org"), "/mail/example.org/alice/Maildir");
});

test("a delimiter at the very beginning is part of the name", () => {
  assert.equal(mailboxNames("+x@example.org", "+").user, "+x");
});

test("without a delimiter addresses have no extensions", () => {
  assert.deepEqual(mailboxNames("a+b@example.org", ""), {
    user: "a+b",
    extension: "",
    domain: "example.org",
    recipient: "a+b@example.org",
  });
});

test("a name that was found out is the user's, with the delimiter in it; the rest is the extension", () => {
  const namesFor = (recipient: string, known: string): readonly string[] => {
    const { user, extension } = mailboxNames(recipient, "+-", known);
    return [user, extension];
  };
  assert.deepEqual(namesFor("Anna-Maria@example.org", "anna-maria"), ["anna-maria", ""]);
  assert.deepEqual(namesFor("anna-maria+lists@example.org", "anna-maria"), ["anna-maria", "lists"]);
  assert.deepEqual(namesFor("anna-maria@example.org", "anna"), ["anna", "maria"]);
  assert.deepEqual(namesFor("jos\u0065\u0301-x@example.org", "jos\u0065\u0301-x"), ["jos\u00e9-x", ""]);
});

test("a quoted local part with slashes and dots stays one component", () => {
  assert.equal(pathFor('"../../etc/passwd"@example.org'), "/mail/example.org/%2E.%2F..%2Fetc%2Fpasswd/Maildir");
  assert.equal(pathFor('".."@example.org'), "/mail/example.org/%2E./Maildir");
  assert.equal(pathFor('"a\\/b"@example.org'), "/mail/example.org/a%2Fb/Maildir");
  assert.equal(pathFor('""@example.org'), "/mail/example.org/%/Maildir");
});

test("both Unicode forms of a name are one mailbox", () => {
  assert.equal(pathFor("jose\u0301@example.org"), pathFor("jos\u00e9@example.org"));
});

test("whatever the local part is, the path stays in its directory and has as many steps as the template", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (local, domain) => {
      const path = pathFor(`${JSON.stringify(local)}@${domain.replaceAll("@", "")}`);
      assert.equal(normalize(path), path);
      assert.ok(path.startsWith("/mail/"));
      assert.equal(path.split("/").length, 5);
      assert.ok(!path.includes("\0"));
    }),
  );
});

test("two texts never share a component", () => {
  const awkward = fc.string({ unit: fc.constantFrom(".", "/", "%", "2", "E", "F", "\0", "a") });
  fc.assert(
    fc.property(awkward, awkward, (one, other) => {
      assert.equal(safeComponent(one) === safeComponent(other), one === other);
    }),
  );
});
