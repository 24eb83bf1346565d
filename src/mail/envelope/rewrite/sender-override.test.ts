import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatLocal, parseMailbox, splitAddress, unquote } from "../../../protocol/address/mailbox.ts";
import { overrideSender, parseSenderOverride } from "./sender-override.ts";

function rewritten(sender: string, as: string): string | undefined {
  const override = parseSenderOverride(as);
  assert.ok(override.ok, as);
  return overrideSender(sender, override.value, "mx.example.org");
}

test("a whole address takes the sender's place; a domain or a user only that part of it", () => {
  assert.equal(rewritten("bob@example.net", "lists@example.org"), "lists@example.org");
  assert.equal(rewritten("bob@example.net", "@example.org"), "bob@example.org");
  assert.equal(rewritten("bob@example.net", "robot"), "robot@example.net");
});

test("the null sender stays the null sender", () => {
  for (const as of ["lists@example.org", "@example.org", "robot"]) assert.equal(rewritten("", as), undefined);
});

test("local parts are quoted where they must be, in the sender and in the override", () => {
  assert.equal(rewritten('"bob smith"@example.net', "@example.org"), '"bob smith"@example.org');
  assert.equal(rewritten("bob@example.net", '"the robot"'), '"the robot"@example.net');
  assert.equal(rewritten("bob@example.net", '"a@b"'), '"a@b"@example.net');
  assert.equal(rewritten('"b@c"@example.net', "@example.org"), '"b@c"@example.org');
});

test("address literals and international domains stand in their form for the wire", () => {
  assert.equal(rewritten("bob@[192.0.2.1]", "robot"), "robot@[192.0.2.1]");
  assert.equal(rewritten("bob@example.net", "@[IPv6:2001:DB8::1]"), "bob@[IPv6:2001:db8::1]");
  assert.equal(rewritten("bob@example.net", "@bücher.example"), "bob@xn--bcher-kva.example");
  assert.equal(rewritten("jörg@example.net", "@example.org"), "jörg@example.org");
});

test("a sender without a domain is of this host", () => {
  assert.equal(rewritten("bob", "robot"), "robot@mx.example.org");
  assert.equal(rewritten("bob", "@example.org"), "bob@example.org");
});

test("what is no override is refused when it is written", () => {
  for (const as of ["", "@", "@-", "a b", "a@", "a@b@c", "jörg@example.org", "<a@b>", "a@b\r\nRCPT", "@a b", "a..b"])
    assert.equal(parseSenderOverride(as).ok, false, JSON.stringify(as));
});

test("property: whatever the sender and the override, MAIL FROM holds an address with both its parts", () => {
  const piece = fc.string({ maxLength: 12, unit: fc.constantFrom(...'aZ9.@"\\ <>-+=ä\r\n'.split("")) });
  const local = piece.map(formatLocal);
  const domain = fc.oneof(
    fc.constantFrom("example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "bücher.example", ""),
    piece,
  );
  const address = fc.oneof(
    piece,
    fc.tuple(local, domain).map(([one, other]) => `${one}@${other}`),
    local,
    domain.map((one) => `@${one}`),
    fc.string({ minLength: 200, maxLength: 260, unit: fc.constant("a") }).map((long) => `${long}@example.net`),
  );
  let made = 0;
  fc.assert(
    fc.property(address, address, (sender, as) => {
      const override = parseSenderOverride(as);
      if (!override.ok) return;
      const result = overrideSender(sender, override.value, "mx.example.org");
      if (result === undefined) return;
      made++;
      assert.notEqual(sender, "");
      const parsed = parseMailbox(result, { isInternational: true });
      assert.ok(parsed.ok, `MAIL FROM:<${result}>`);
      assert.notEqual(parsed.value.local, "");
      assert.ok(Buffer.byteLength(`<${result}>`) <= 256);
      assert.doesNotMatch(result, /[\r\n]/);
      const { local: writtenLocal, domain: writtenDomain } = splitAddress(result);
      if (override.value.kind === "domain") assert.equal(writtenDomain, override.value.domain.toLowerCase());
      if (override.value.kind === "user") assert.equal(unquote(writtenLocal), unquote(override.value.user));
    }),
    { numRuns: 3000 },
  );
  assert.ok(made > 100, `only ${made} senders were overridden at all`);
});
