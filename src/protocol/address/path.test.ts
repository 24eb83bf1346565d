import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { addressOfPath, formatPath, parsePath, parsePathAt } from "./path.ts";

function written(text: string): string {
  const path = parsePath(text, { isInternational: true });
  assert.ok(path.ok, `${text}: ${JSON.stringify(path)}`);
  return formatPath(path.value);
}

test("the null path, postmaster in any case, and mailboxes are told apart", () => {
  assert.deepEqual(parsePath("<>"), { ok: true, value: { kind: "null" } });
  assert.deepEqual(parsePath("<PostMaster>"), { ok: true, value: { kind: "postmaster" } });
  assert.equal(written("<postmaster@example.org>"), "<postmaster@example.org>");
  assert.equal(written("<a@[IPv6:2001:DB8:0:0::1]>"), "<a@[IPv6:2001:db8::1]>");
  assert.equal(written('<"a>b"@c>'), '<"a>b"@c>');
});

test("a source route is checked and forgotten", () => {
  assert.equal(written("<@one.example,@[192.0.2.1],@[IPv6:::1]:a@b.example>"), "<a@b.example>");
  for (const text of ["<@one:>", "<@one,:a@b>", "<@one,two:a@b>", "<@:a@b>", "<@one a@b>", "<@one:postmaster>"])
    assert.equal(parsePath(text).ok, false, text);
});

test("what is no path is refused", () => {
  for (const text of ["", "<", "a@b", "<a@b", "<a>", "<a@b>>", "<a@b> ", "<postmaster ", "<<a@b>>", "< a@b>", "<a@b >"])
    assert.equal(parsePath(text).ok, false, text);
});

test("RFC 5321 section 4.5.3.1.3: a path holds 256 octets with its brackets", () => {
  const path = (domainLength: number) =>
    `<${"a".repeat(64)}@${("b".repeat(60) + ".").repeat(9).slice(0, domainLength - 1)}c>`;
  assert.equal(path(189).length, 256);
  assert.ok(parsePath(path(189)).ok);
  assert.ok(!parsePath(path(190)).ok);
});

test("a path that is too long once its domain is in A-labels is refused: no next host could be told it", () => {
  const path = (localLength: number) => `<${"a".repeat(localLength)}@\u00e4.example>`;
  const inLabels = "xn--4ca.example".length;
  const longest = path(256 - 3 - inLabels);
  assert.equal(written(longest).length, 256);
  const found = parsePath(path(256 - 2 - inLabels), { isInternational: true });
  assert.deepEqual(found, {
    ok: false,
    problem: { at: 256 - inLabels, expected: "a path of at most 256 octets, its domain in A-labels" },
  });
});

test("the long local parts of lists and forwarders are taken as far as the path's length goes", () => {
  const verp = `list-bounces+12345-somebody.with.a.long.name=a-department.example.org`;
  assert.ok(verp.length > 64);
  assert.ok(parsePath(`<${verp}@lists.example>`).ok);
  assert.ok(parsePath(`<${"a".repeat(252)}@b>`).ok);
  assert.ok(!parsePath(`<${"a".repeat(253)}@b>`).ok);
});

test("a path inside a line ends where it says, and tells problems in the line's offsets", () => {
  const found = parsePathAt("TO:<a@b> X=<c@d>", 3);
  assert.ok(found.ok);
  assert.equal(found.value.end, 8);
  assert.equal(addressOfPath(found.value.path), "a@b");
  const bad = parsePathAt("TO:<a b@c>", 3);
  assert.deepEqual(bad, { ok: false, problem: { at: 5, expected: "@ and a domain" } });
});

test("property: no text makes the parser throw, and what it takes is written and read back the same", () => {
  const hostile = fc.string({ unit: fc.constantFrom(...Array.from('<<>>a@b@"\\.[]:,1 \r\nü')) });
  fc.assert(
    fc.property(hostile, (text) => {
      const path = parsePath(`<${text}>`, { isInternational: true });
      if (!path.ok) return;
      const again = parsePath(formatPath(path.value), { isInternational: true });
      assert.ok(again.ok);
      assert.equal(formatPath(again.value), formatPath(path.value));
    }),
    { numRuns: 500 },
  );
});
