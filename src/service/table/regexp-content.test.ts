import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { regexpContent } from "./regexp-content.ts";

function lookup(text: string, key: string): string | undefined {
  const { content, problems } = regexpContent("t", text);
  assert.deepEqual(problems, []);
  const found = content.lookup(key);
  return found?.failure ?? found?.value;
}
const problemsOf = (text: string): readonly string[] =>
  regexpContent("t", text).problems.map((problem) => `${problem.line} ${problem.text}`);

test("the first line whose pattern is found in the key decides", () => {
  const text = "# c\n/^root@/ admin\n/@example\\.org$/i joe\n  jane\n!/@/ local\n/./ rest\n";
  assert.equal(lookup(text, "Root@example.org"), "admin");
  assert.equal(lookup(text, "x@EXAMPLE.org"), "joe jane");
  assert.equal(lookup(text, "x"), "local");
  assert.equal(lookup(text, "x@example.net"), "rest");
  assert.equal(lookup("/^a$/ x\n", "b"), undefined);
  assert.equal(regexpContent("t", text).content.lookup("x")?.where, "t:5");
});

test("groups of the pattern stand in the value", () => {
  assert.equal(
    lookup("/^(.+)-(owner|request)@lists\\./ $1+${2}, $(1)$$\n", "dev-Owner@lists.example"),
    "dev+owner, dev$",
  );
});

test("a condition holds for the lines up to its endif, and conditions nest", () => {
  const text = "if /@example\\.org$/\n/^a/ 1\nif !/^b/\n/c@/ 2\nendif\nendif\n/./ 3\n";
  assert.equal(lookup(text, "a@example.org"), "1");
  assert.equal(lookup(text, "c@example.org"), "2");
  assert.equal(lookup(text, "bc@example.org"), "3");
  assert.equal(lookup(text, "a@example.net"), "3");
});

test("a pattern without a value makes a member", () => {
  const { content } = regexpContent("t", "/^10\\./\n");
  assert.deepEqual(content.has("10.1.2.3"), { is: true, where: "t:1" });
  assert.equal(content.has("11.1.2.3"), undefined);
  assert.equal(content.kind, "list");
});

test("no pattern answers for a password", () => {
  const { content } = regexpContent("t", "/./ {PLAIN}x\n");
  assert.equal(content.lookup("joe")?.value, "{PLAIN}x");
  assert.equal(content.lookup("joe", true), undefined);
});

test("what a sender chose never becomes a command, a path, or another target", () => {
  for (const value of ["|/bin/x $1", '"|/bin/x $1"', "/var/mail/$1", ":include:/etc/$1"])
    assert.match(problemsOf(`/^(.*)@/ ${value}\n`)[0] ?? "", /must not become part of a command or a path/, value);
  for (const key of ['"a,|/bin/sh"@x', "a,b@x", "a b@x", "/etc/passwd@x", ":include:/x@x", "a`b@x", "a$b@x"])
    assert.match(lookup("/^(.*)@/ $1@example.org\n", key) ?? "", /cannot stand in a value/, key);
  assert.equal(lookup("/^(.*)@/ $1@example.org\n", "joe+x.y_z=1@x"), "joe+x.y_z=1@example.org");
  assert.match(lookup('/^"?([^"]*)-old"?@/ $1\n', '"victim@far.example-old"@x') ?? "", /cannot stand in a value/);
  assert.equal(lookup("/^(.*)-old(@.*)$/ $1$2\n", "joe-old@x"), "joe@x");
});

test("mistakes are told with their lines", () => {
  assert.deepEqual(problemsOf("/a x\n/(/ x\n/a/q x\n/a/ $1\n!/(a)/ $1\nendif\nif /a/\n/a/ $x\n/(?=a)/ x\n"), [
    "1 expected /pattern/flags and a value",
    "2 error parsing regexp: missing closing ): `(`",
    "3 there is no flag q; there are i, m, s",
    "4 the pattern has no group 1",
    "5 what does not match has no groups",
    "6 endif without an if before it",
    "7 this if has no endif",
    "8 expected a group behind $; a dollar itself is $$",
    "9 error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
  ]);
});

test("a pattern that takes others exponential time takes none worth speaking of", () => {
  const { content } = regexpContent("t", "/^(a+)+$/ x\n/^(a|a)*b$/ y\n");
  const usedMs = cpuWatch();
  assert.equal(content.lookup(`${"a".repeat(5000)}!`), undefined);
  assert.ok(usedMs() < 2000);
});
