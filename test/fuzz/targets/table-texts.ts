import assert from "node:assert/strict";
import { formatAliasTarget, parseAliasTargets } from "../../../src/protocol/address/alias-targets.ts";
import { formatIpAddress, parseIpAddress, parseIpNetwork } from "../../../src/protocol/address/ip-address.ts";
import { parseAliasText } from "../../../src/service/table/alias-text.ts";
import { parseNetwork } from "../../../src/service/table/network.ts";
import { parsePattern } from "../../../src/service/table/pattern.ts";
import { parseTableText } from "../../../src/service/table/text.ts";
import { parseTemplate } from "../../../src/service/table/template.ts";
import { regexpContent } from "../../../src/service/table/regexp-content.ts";
import { parseUserinfo } from "../../../src/service/account/users.ts";
import { parsePasswordHash } from "../../../src/service/account/password.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

/**
 * Files of people: aliases, .forward files, tables, lists of networks, patterns and expressions, users and hashes. What was understood of
 * aliases is understood the same when it is written again; each entry stands on a line that is there.
 */
export const target: FuzzTarget = {
  seeds: [
    'root: ann, |"/usr/bin/x -a", /var/mail/f, :include:/etc/list, \\bob\n# c\npostmaster: :fail: gone\n',
    'a@b c@d\n"k e\\"y": value # x\n  more\n!x\n*.example.org\n',
    "192.0.2.0/24 x\n2001:db8::/32\n@example.org\n<>\n",
    "/^(.*)@(.*)$/i $1@x.${2}\nif /a/\n/b/ c\nendif\n",
    "{SHA512-CRYPT}$6$salt$abc",
    "uid=1000 gid=1000 home=/home/a",
    '\\ann, "|exec /usr/bin/vacation ann"\n',
  ],
  tokens: [
    "\n",
    "\n ",
    "#",
    ":",
    ",",
    '"',
    "\\",
    "|",
    ":include:",
    "/",
    "$1",
    "${",
    "(",
    "[",
    "*",
    "+?",
    "@",
    "{",
    "}",
    "::",
    "/24",
    "\xc3\xa9",
    "!",
  ],
  repeats: [
    ["/", "(a*)*", "b/ x\n"],
    ["a: ", "b,", "\n"],
    ["a: ", "\\", "\n"],
    ["", "a\n ", ""],
    ["a: ", '"', ""],
  ],
  longBytes: 32_768,
  run(bytes) {
    const text = bytes.toString("utf8");
    const lines = text.split(/\r\n|\n/).length;
    for (const found of [parseTableText(text), parseAliasText(text)]) {
      for (const { line } of [...found.entries, ...found.problems])
        assert.ok(line >= 1 && line <= lines, `line ${line}`);
    }
    for (const { key, value } of parseAliasText(text).entries) {
      const again = parseAliasText(`"${key.replace(/["\\]/g, "\\$&")}": ${value ?? ""}\n`);
      assert.deepEqual(again.problems, [], value);
      assert.equal(again.entries[0]?.value, value);
    }
    const { targets } = parseAliasTargets(text);
    const written = targets.map(formatAliasTarget);
    // On lines of their own: the text of :fail: is all of its line.
    assert.deepEqual(parseAliasTargets(written.join("\n")).targets.map(formatAliasTarget), written);
    const word = text.slice(0, 300);
    parseNetwork(word);
    parseIpNetwork(word);
    const address = parseIpAddress(word);
    if (address !== undefined) assert.deepEqual(parseIpAddress(formatIpAddress(address)), address);
    parsePattern(word);
    parseTemplate(word);
    parsePasswordHash(word);
    parseUserinfo("a", word);
    regexpContent("x", text);
  },
};
