import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatAliasTarget, parseAliasTargets, type AliasTarget } from "./alias-targets.ts";

/** Without their lines; none may be wrong. */
function targets(text: string): readonly AliasTarget[] {
  const { targets: found, problems } = parseAliasTargets(text);
  assert.deepEqual(problems, [], text);
  return found.map(withoutLine);
}
function withoutLine(found: AliasTarget & { readonly line: number }): AliasTarget {
  const target: AliasTarget & { line?: number } = { ...found };
  delete target.line;
  return target;
}
const address = (written: string, isFinal = false): AliasTarget => ({ kind: "address", address: written, isFinal });

test("addresses are separated by commas, lines or white space", () => {
  const both = [address("joe"), address("jane@example.org")];
  assert.deepEqual(targets("joe, jane@example.org"), both);
  assert.deepEqual(targets("joe jane@example.org"), both);
  assert.deepEqual(targets("joe\njane@example.org\n"), both);
  assert.deepEqual(targets(" joe ,\r\n\r\n\tjane@example.org,,"), both);
  assert.deepEqual(targets(""), []);
});

test("names, comments and angle brackets are what people write around addresses", () => {
  assert.deepEqual(targets("Joe Smith <joe@example.org>, <jane>"), [address("joe@example.org"), address("jane")]);
  assert.deepEqual(targets('"Smith, Joe" <joe@example.org>'), [address("joe@example.org")]);
  assert.deepEqual(targets("joe@example.org (his, new (one) address)"), [address("joe@example.org")]);
  assert.deepEqual(targets("# all, of it\njoe # and, him\n  # end"), [address("joe")]);
});

test("an address comes in its shortest writing, its domain in lower case", () => {
  assert.deepEqual(targets('"Joe"@Example.ORG'), [address("Joe@example.org")]);
  assert.deepEqual(targets('"joe smith"@example.org'), [address('"joe smith"@example.org')]);
  assert.deepEqual(targets('"joe smith"'), [address('"joe smith"')]);
  assert.deepEqual(targets('"joe@example.org"'), [address("joe@example.org")]);
  assert.deepEqual(targets('"a,b"@example.org, joe'), [address('"a,b"@example.org'), address("joe")]);
});

test("a backslash makes a name final", () => {
  assert.deepEqual(targets("\\joe, jane"), [address("joe", true), address("jane")]);
  assert.deepEqual(targets('"\\joe"'), [address("joe", true)]);
  assert.deepEqual(targets("\\joe@example.org"), [address("joe@example.org", true)]);
});

test("a domain alone means the same local part there", () => {
  assert.deepEqual(targets("@example.net"), [{ kind: "domain", domain: "example.net" }]);
});

test("a word with a meaning has it in quotes, too, and is never an address that nobody has", () => {
  assert.deepEqual(targets('":fail: gone, for good"'), [{ kind: "fail", text: "gone, for good" }]);
  assert.deepEqual(targets('":defer: later", joe'), [{ kind: "defer", text: "later" }, address("joe")]);
  assert.deepEqual(targets('"error:550 5.2.1 no \\"way\\""'), [{ kind: "fail", text: 'no "way"', status: "5.2.1" }]);
  assert.deepEqual(targets('":BlackHole:"'), [{ kind: "discard" }]);
  assert.match(parseAliasTargets('":include:lists"').problems[0]?.text ?? "", /absolute path/);
  assert.match(parseAliasTargets('":blackhole: joe"').problems[0]?.text ?? "", /more in its quotes/);
  assert.match(parseAliasTargets('":fall: x"').problems[0]?.text ?? "", /expected :include:/);
  // Who is really called so stands in angle brackets.
  assert.deepEqual(targets('<":fail: x">'), [address('":fail: x"')]);
  for (const one of [address('":fail: x"'), address('"error:550"', true)])
    assert.deepEqual(targets(formatAliasTarget(one)), [one]);
});

test("commands are quoted as a whole, behind the bar, or not at all", () => {
  const command = (written: string): AliasTarget => ({ kind: "command", command: written });
  assert.deepEqual(targets("|/usr/bin/procmail, joe"), [command("/usr/bin/procmail"), address("joe")]);
  assert.deepEqual(targets("|/usr/bin/vacation -a x joe"), [command("/usr/bin/vacation -a x joe")]);
  assert.deepEqual(targets('"|/usr/bin/vacation a, b", joe'), [command("/usr/bin/vacation a, b"), address("joe")]);
  assert.deepEqual(targets('|"/usr/bin/vacation a, b"'), [command("/usr/bin/vacation a, b")]);
  assert.deepEqual(targets('"|IFS=\' \' && exec /usr/bin/procmail -f- || exit 75 \\"#joe\\""'), [
    command("IFS=' ' && exec /usr/bin/procmail -f- || exit 75 \"#joe\""),
  ]);
  assert.deepEqual(targets('| /bin/x "a, b" c, joe'), [command('/bin/x "a, b" c'), address("joe")]);
});

test("files are absolute paths; white space in them needs quotes", () => {
  assert.deepEqual(targets("/var/mail/archive"), [{ kind: "file", path: "/var/mail/archive" }]);
  assert.deepEqual(targets("/var/mail/archive # of all"), [{ kind: "file", path: "/var/mail/archive" }]);
  assert.deepEqual(targets('"/var/mail/a b", /dev/null'), [
    { kind: "file", path: "/var/mail/a b" },
    { kind: "file", path: "/dev/null" },
  ]);
  assert.match(parseAliasTargets("/var/mail/a b").problems[0]?.text ?? "", /needs quotes/);
});

test("lists are included by path", () => {
  assert.deepEqual(targets(":include:/etc/lists/all, joe"), [
    { kind: "include", path: "/etc/lists/all" },
    address("joe"),
  ]);
  assert.deepEqual(targets('":include:/etc/lists/all"'), [{ kind: "include", path: "/etc/lists/all" }]);
  assert.deepEqual(targets(':include:"/etc/my lists"'), [{ kind: "include", path: "/etc/my lists" }]);
  assert.match(parseAliasTargets(":include:lists").problems[0]?.text ?? "", /absolute path/);
});

test("refusals take the rest of the line as their text, and codes off it", () => {
  assert.deepEqual(targets(":fail: gone, sorry"), [{ kind: "fail", text: "gone, sorry" }]);
  assert.deepEqual(targets(":defer: back on Monday"), [{ kind: "defer", text: "back on Monday" }]);
  assert.deepEqual(targets("error:550 5.7.1 Closed"), [{ kind: "fail", text: "Closed", status: "5.7.1" }]);
  assert.deepEqual(targets("error:450 Later"), [{ kind: "defer", text: "Later" }]);
  assert.deepEqual(targets("error: 550 is no number here"), [{ kind: "fail", text: "is no number here" }]);
  assert.deepEqual(targets(":fail:450 4.2.1 no"), [{ kind: "fail", text: "no", status: "5.2.1" }]);
  assert.deepEqual(targets(":blackhole:"), [{ kind: "discard" }]);
});

test("what is wrong is told with its line, and the rest is read", () => {
  const { targets: found, problems } = parseAliasTargets('joe\n"|open\n:what: x\njane..doe\njim, |\n<joe');
  assert.deepEqual(
    found.map(({ line, kind }) => `${line} ${kind}`),
    ["1 address", "5 address"],
  );
  assert.deepEqual(
    problems.map(({ line }) => line),
    [2, 3, 4, 5, 6],
  );
  assert.match(problems[0]?.text ?? "", /"\|open: the quote is not closed/);
  assert.match(problems[2]?.text ?? "", /jane\.\.doe: is no address/);
});

test("what were no characters once is nobody's name", () => {
  for (const text of [
    "j\ufffdrgen",
    "\\j\ufffd",
    "a@\ufffd.example",
    "@b\ufffdcher.example",
    '"j\ufffd x"@example.org',
  ])
    assert.equal(parseAliasTargets(text).problems.length, 1, text);
  assert.equal(parseAliasTargets("j\u00fcrgen").problems.length, 0);
});

const word = fc.stringMatching(/^[a-z][a-z0-9_+-]{0,8}$/);
const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const text = fc.string({ unit: fc.constantFrom(...Array.from("ab \"\\,#()<>|/:@'é$.-")), maxLength: 20 });
const anyTarget: fc.Arbitrary<AliasTarget> = fc.oneof(
  fc.record({ kind: fc.constant("address" as const), address: word, isFinal: fc.boolean() }),
  fc
    .tuple(word, label, fc.boolean())
    .map(([local, domain, isFinal]) => ({ kind: "address" as const, address: `${local}@${domain}.example`, isFinal })),
  label.map((domain) => ({ kind: "domain" as const, domain: `${domain}.example` })),
  text.filter((each) => each.trim() !== "").map((command) => ({ kind: "command" as const, command: command.trim() })),
  text.map((path) => ({ kind: "file" as const, path: `/${path}` })),
  text.map((path) => ({ kind: "include" as const, path: `/${path}` })),
);

test("a formatted list reads back as the same list", () => {
  fc.assert(
    fc.property(fc.array(anyTarget, { maxLength: 6 }), fc.constantFrom(", ", "\n", ",\n\t"), (list, between) => {
      assert.deepEqual(
        targets(list.map(formatAliasTarget).join(between)),
        list.map((target) => ({ ...target })),
      );
    }),
  );
});

test("a name alone is read as one among others", () => {
  const anyName = fc.string({
    unit: fc.constantFrom("a", "Z", "0", ".", "-", "_", "#", "/", "+", "\n", "$"),
    maxLength: 8,
  });
  fc.assert(
    fc.property(anyName, (name) => {
      assert.deepEqual(parseAliasTargets(name).targets, parseAliasTargets(`${name},`).targets);
    }),
  );
  assert.deepEqual(parseAliasTargets("jane.doe"), {
    targets: [{ kind: "address", address: "jane.doe", isFinal: false, line: 1 }],
    problems: [],
  });
});

test("an address that begins as a comment does is written so that it is read as an address", () => {
  assert.deepEqual(targets("()#"), [{ kind: "address", address: "#", isFinal: false }]);
  for (const isFinal of [false, true]) {
    const target = { kind: "address", address: "#one", isFinal } as const;
    assert.deepEqual(targets(formatAliasTarget(target)), [target]);
  }
});

test("a name that is a text in quotes is written so that the quotes stay its own", () => {
  for (const address of ['"\\"a\\""', '"|x y"', '"<b>"', '":fail: x"', '"joe smith"']) {
    const target = { kind: "address", address, isFinal: false } as const;
    assert.deepEqual(targets(`<${address}>`), [target]);
    assert.deepEqual(targets(formatAliasTarget(target)), [target]);
  }
});

test("no text throws, each target has a line of the text, and reading what was read changes nothing", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...Array.from('ab@.,:|/\\"<>()# \n\t')), maxLength: 60 }),
      (written) => {
        const { targets: found } = parseAliasTargets(written);
        const lines = written.split("\n").length;
        for (const { line, ...target } of found) {
          assert.ok(line >= 1 && line <= lines);
          const again = parseAliasTargets(formatAliasTarget(target));
          assert.deepEqual(again.problems, []);
          assert.deepEqual(again.targets, [{ ...target, line: 1 }]);
        }
      },
    ),
  );
});
