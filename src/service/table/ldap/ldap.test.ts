import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DN, EqualityFilter, FilterParser } from "ldapts";
import { keyParameters } from "../key-parameters.ts";
import { expandTemplate, parseTemplate } from "../template.ts";
import { entryRows } from "./entry-rows.ts";
import { escapeDnValue, escapeFilterValue } from "./escape.ts";
import { resultWords } from "./result-words.ts";
import { ldapSettings } from "./settings.ts";

test("whatever a key holds, the filter compares with the key and nothing else", () => {
  const template = parseTemplate("(mail=%{key})");
  assert.ok(template.ok);
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.constantFrom("*", ")(", "\\2a", "\0", "(|", "\\")),
      (key) => {
        fc.pre(key !== "");
        const filter = FilterParser.parseString(
          expandTemplate(template.value, keyParameters(key, "alias"), escapeFilterValue),
        );
        assert.ok(filter instanceof EqualityFilter, key);
        assert.equal(filter.attribute, "mail");
        assert.equal(filter.value.toString(), Buffer.from(key).toString());
      },
    ),
  );
});

test("a key within a base is one value of the name", () => {
  assert.equal(escapeDnValue('a,b+"c\\<d>;e=f'), 'a\\,b\\+\\"c\\\\\\<d\\>\\;e\\=f');
  assert.equal(escapeDnValue(" a "), "\\ a\\ ");
  assert.equal(escapeDnValue("#a"), "\\#a");
  assert.equal(escapeDnValue("a\0"), "a\\00");
  assert.equal(new DN({ dc: "example" }).toString(), `dc=${escapeDnValue("example")}`);
  assert.doesNotMatch(escapeDnValue("x,dc=evil"), /(?<!\\),/);
});

test("values of entries become rows as a database would give them", () => {
  const entry = {
    dn: "uid=joe",
    Mail: ["a@b", "c@d"],
    uid: "joe",
    uidNumber: "1000",
    gidNumber: "100",
    photo: Buffer.from("x"),
  };
  assert.deepEqual(entryRows("alias", ["mail", "uid"], [entry]), [["a@b"], ["c@d"], ["joe"]]);
  assert.deepEqual(entryRows("userinfo", ["uidnumber", "gidnumber", "homeDirectory"], [entry]), [
    ["1000", "100", null],
  ]);
  assert.deepEqual(entryRows("string", ["photo"], [entry]), [["x"]]);
  assert.deepEqual(entryRows("domain", [], [entry]), [["uid=joe"]]);
  assert.match(String(entryRows("credentials", ["mail"], [entry])), /uid=joe has 2 values of mail/);
});

const written = {
  hosts: "ldap.example",
  base: "dc=example",
  searches: { alias: { filter: "(mail=%{key})", attributes: ["uid"] } },
};

function problemsOf(settings: object): readonly string[] {
  const parsed = ldapSettings.safeParse({ ...written, ...settings });
  return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

test("settings of a directory that cannot work are refused", () => {
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(
    problemsOf({ bindDn: "cn=a", passwordFile: "/p", hosts: ["ldaps://a", "ldap://b:1389", "/run/ldapi"] }),
    [],
  );
  for (const [settings, problem] of [
    [{ searches: {} }, /^searches: expected at least one search/],
    [
      { searches: { alias: { filter: "mail=%{key}", attributes: ["a"] } } },
      /^searches\.alias\.filter: expected a filter/,
    ],
    [
      { searches: { alias: { filter: "(mail=%{key}))(", attributes: ["a"] } } },
      /^searches\.alias\.filter: expected a filter/,
    ],
    [
      { searches: { alias: { filter: "(mail=%{mail})", attributes: ["a"] } } },
      /^searches\.alias\.filter: expected one of %\{key\}/,
    ],
    [{ searches: { alias: { filter: "(mail=%{key})" } } }, /^searches\.alias\.attributes: expected the attributes/],
    [{ bindDn: "cn=a" }, /^bindDn: expected password-file/],
    [{ hosts: "http://a" }, /^hosts: expected ldap:/],
    [{ hosts: "ldaps://a", tls: "off" }, /^tls: ldaps:\/\/a is encrypted/],
  ] as const)
    assert.match(problemsOf(settings).join("\n"), problem);
});

test("what a directory answers is said in words, with its own behind them", () => {
  assert.equal(resultWords(4, " Code: 0x4"), "the server's size limit is exceeded (LDAP result 4)");
  assert.equal(resultWords(53, "go away Code: 0x35"), "the server is not willing (LDAP result 53: go away)");
  assert.equal(resultWords(99, ""), "the server answers with an error (LDAP result 99)");
});
