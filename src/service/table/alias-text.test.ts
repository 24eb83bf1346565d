import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseAliasText } from "./alias-text.ts";

test("a file like /etc/aliases: comments, continuations, quotes, lists", () => {
  const text = `# who gets what
postmaster:    root
root:\tjoe,
\t\\jane,
# not in between
  "Smith, J" <j@example.org>
"Joe Smith": joe
"odd:name": joe
staff: :include:/etc/mail/staff
archive: /var/mail/archive, "|/usr/bin/log -a, -b"
sales@example.org: joe
@example.net: joe
Closed: :fail: gone, sorry
"a b"@example.org: joe
`;
  const { entries, problems } = parseAliasText(text);
  assert.deepEqual(problems, []);
  assert.deepEqual(entries, [
    { line: 2, key: "postmaster", value: "root" },
    { line: 3, key: "root", value: "joe, \\jane, j@example.org" },
    { line: 7, key: "Joe Smith", value: "joe" },
    { line: 8, key: "odd:name", value: "joe" },
    { line: 9, key: "staff", value: ":include:/etc/mail/staff" },
    { line: 10, key: "archive", value: '/var/mail/archive, "|/usr/bin/log -a, -b"' },
    { line: 11, key: "sales@example.org", value: "joe" },
    { line: 12, key: "@example.net", value: "joe" },
    { line: 13, key: "Closed", value: ":fail: gone, sorry" },
    { line: 14, key: '"a b"@example.org', value: "joe" },
  ]);
});

test("mistakes are told with their lines, all of them", () => {
  const { entries, problems } = parseAliasText('  lost\njoe jane\nx:\ny: a..b, joe\nz: "|open\nfine: joe\n: joe\n');
  assert.deepEqual(
    entries.map(({ key }) => key),
    ["fine"],
  );
  assert.deepEqual(
    problems.map(({ line, text }) => `${line} ${text}`),
    [
      "1 begins with white space, but there is no line to continue",
      "2 expected a name, a colon and where its mail goes",
      "3 x: goes nowhere; mail is thrown away with :blackhole:",
      "4 y: a..b: is no address",
      '5 z: "|open: the quote is not closed',
      "7 expected a name, a colon and where its mail goes",
    ],
  );
});

test("no text throws", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...Array.from('ab:@,"\\|/# \n\t<')), maxLength: 80 }), (text) => {
      for (const { line } of parseAliasText(text).entries) assert.ok(line >= 1 && line <= text.split("\n").length);
    }),
  );
});
