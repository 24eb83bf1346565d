import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatListed, parseAddressList } from "./address-list.ts";

function addresses(text: string): string[] {
  const list = parseAddressList(text);
  assert.ok(list.ok, `${text}: ${JSON.stringify(list)}`);
  return list.value.map((address) => formatListed(address));
}

test("lists with names, comments, quotes, folds and groups are read", () => {
  assert.deepEqual(addresses("a@b.example"), ["a@b.example"]);
  assert.deepEqual(addresses('Ann <a@b>, "Other, Bob" <b@c> , c@d (Carl (the 2nd), really)'), ["a@b", "b@c", "c@d"]);
  assert.deepEqual(addresses("A Group:Ed <joe@where.test>,\r\n joe@where.test,John <jdoe@one.test>;, z@y"), [
    "joe@where.test",
    "joe@where.test",
    "jdoe@one.test",
    "z@y",
  ]);
  assert.deepEqual(addresses("Undisclosed recipients:;"), []);
  assert.deepEqual(addresses(""), []);
  assert.deepEqual(addresses("(nobody)"), []);
  assert.deepEqual(addresses('"quoted local"@b, "plain"@b'), ['"quoted local"@b', "plain@b"]);
  assert.deepEqual(addresses('"a\r\n b\tc"@d'), ['"a b c"@d']);
  assert.deepEqual(addresses("a@[192.0.2.1], b@[ IPv6:::1 ]"), ["a@[192.0.2.1]", "b@[IPv6:::1]"]);
});

test("the obsolete forms of RFC 5322 section 4.4 are read", () => {
  assert.deepEqual(addresses("John Q. Public <jq . p (x) @ b . c>"), ["jq.p@b.c"]);
  assert.deepEqual(addresses(", a@b,,c@d,"), ["a@b", "c@d"]);
  assert.deepEqual(addresses("<@one,@two:a@b>"), ["a@b"]);
});

test("local users may be written without a domain", () => {
  const list = parseAddressList("root, Ann <ann>");
  assert.ok(list.ok);
  assert.deepEqual(
    list.value.map((address) => formatListed(address, "example.org")),
    ["root@example.org", "ann@example.org"],
  );
});

test("a display name is kept", () => {
  const list = parseAddressList('"Bob \\"B\\" O" <b@c>');
  assert.ok(list.ok);
  assert.equal(list.value[0]?.name, 'Bob "B" O');
});

test("what is no list is refused, where it goes wrong", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["a b@c", 2],
    ["a@", 2],
    ["<a@b", 4],
    ["a@b>", 3],
    ["(a", 0],
    ['"a', 0],
    ["a@b c@d", 4],
    ["a@b;", 3],
    ["<>", 1],
    ["a..b@c", 1],
    ['"a\0b"@c', 0],
    ['"a\r\nb"@c', 0],
    [`${"(".repeat(100)}${")".repeat(100)}`, 0],
  ];
  for (const [text, at] of cases) {
    const list = parseAddressList(text);
    assert.ok(!list.ok, text);
    assert.equal(list.problem.at, at, text);
  }
});

test("property: no text makes the reader throw or hang, and what it finds has no line ends", () => {
  const hostile = fc.string({
    unit: fc.constantFrom(...Array.from('a@b.,<>:;()[]"\\ \r\n\tü\0')),
    maxLength: 60,
  });
  fc.assert(
    fc.property(hostile, (text) => {
      const list = parseAddressList(text);
      if (!list.ok) return;
      for (const address of list.value) {
        assert.doesNotMatch(formatListed(address), /[\r\n\0]/);
        assert.doesNotMatch(address.name ?? "", /[\r\n\0]/);
      }
    }),
    { numRuns: 2000 },
  );
});
