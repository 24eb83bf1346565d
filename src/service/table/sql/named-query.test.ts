import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KEY_PARAMETERS, type KeyParameter } from "../key-parameters.ts";
import { boundQuery, parseNamedQuery, type SqlDialect } from "./named-query.ts";

function bound(text: string, dialect: SqlDialect): readonly [string, readonly KeyParameter[]] {
  const parsed = parseNamedQuery(text, dialect);
  assert.ok(parsed.ok, `${text}: ${parsed.ok ? "" : parsed.problem.expected}`);
  const { text: sql, order } = boundQuery(parsed.value, dialect);
  return [sql, order];
}

test("named parameters become the server's own placeholders", () => {
  const query = "select a from t where k = :key and u = :user or k = :key";
  assert.deepEqual(bound(query, "postgres"), ["select a from t where k = $1 and u = $2 or k = $1", ["key", "user"]]);
  assert.deepEqual(bound(query, "mysql"), ["select a from t where k = ? and u = ? or k = ?", ["key", "user", "key"]]);
});

test("what stands in quotes and comments is no parameter", () => {
  for (const [text, dialect] of [
    ["select ':key'", "postgres"],
    ["select 'it''s :key'", "postgres"],
    ["select 'a\\' , :key", "postgres-has-one"],
    ["select E'a\\' :key'", "postgres"],
    ["select e'\\\\' || :key", "postgres-has-one"],
    ['select ":key" from t', "postgres"],
    ["select $$:key$$", "postgres"],
    ["select $a$ :key $$ :key $a$", "postgres"],
    ["select 1 -- :key\n", "postgres"],
    ["select 1 /* :key /* :key */ :key */", "postgres"],
    ["select a::text, b::key from t", "postgres"],
    ["select f(a := 1)", "postgres"],
    ["select x[1:2]", "postgres"],
    ["select 'it\\'s :key'", "mysql"],
    ['select "say \\" :key"', "mysql"],
    ["select `:key` from t", "mysql"],
    ["select 1 # :key\n", "mysql"],
    ["select 1 -- :key\n", "mysql"],
    ["select 1 --:key", "mysql-has-one"],
    ["select 1 /* /* :key */ + :key", "mysql-has-one"],
    ["select @a := 1", "mysql"],
    ["select a ? 'b'", "postgres"],
    ["select a$1 from t", "postgres"],
  ] as const) {
    const [, order] = bound(text, dialect.startsWith("mysql") ? "mysql" : "postgres");
    assert.deepEqual(order, dialect.endsWith("has-one") ? ["key"] : [], text);
  }
});

test("what cannot be meant is refused, with the place", () => {
  for (const [text, dialect, at] of [
    ["", "postgres", 0],
    ["  ;", "postgres", 0],
    ["select :adress", "postgres", 7],
    ["select $1", "postgres", 7],
    ["select ?", "mysql", 7],
    ["select 'a", "postgres", 7],
    ['select "a', "mysql", 7],
    ["select $x$ a", "postgres", 7],
    ["select 1 /* a", "mysql", 9],
    ["select 1; drop table t", "postgres", 10],
    ["select 1; 'a'", "postgres", 10],
  ] as const) {
    const parsed = parseNamedQuery(text, dialect);
    assert.ok(!parsed.ok, text);
    assert.equal(parsed.problem.at, at, text);
  }
  assert.ok(parseNamedQuery("select :key; -- done", "postgres").ok);
});

test("no text makes the parser throw, and what it takes apart is the text again", () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 4 }),
    fc.constantFrom(
      "'",
      '"',
      "`",
      "--",
      "/*",
      "*/",
      "$$",
      "$a$",
      ":",
      "::",
      ":key",
      ":user",
      ":domain",
      "\\",
      "#",
      ";",
      "E'",
    ),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.constantFrom<SqlDialect>("postgres", "mysql"), (pieces, dialect) => {
      const text = pieces.join("");
      const parsed = parseNamedQuery(text, dialect);
      if (!parsed.ok) return;
      const { texts, parameters } = parsed.value;
      assert.equal(
        texts.map((each, at) => `${each}${parameters[at] === undefined ? "" : `:${parameters[at]}`}`).join(""),
        text,
      );
    }),
    { numRuns: 2000 },
  );
});

test("parameters between harmless pieces are all found, in their order", () => {
  const harmless = fc.constantFrom(
    "select a ",
    " = ",
    "'q:key' ",
    '":user" ',
    "x::int ",
    "/* :key */ ",
    "-- :domain\n",
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(harmless, fc.constantFrom(...KEY_PARAMETERS)), { minLength: 1 }),
      fc.constantFrom<SqlDialect>("postgres", "mysql"),
      (parts, dialect) => {
        const parsed = parseNamedQuery(parts.map(([piece, name]) => `${piece}:${name} `).join(""), dialect);
        assert.ok(parsed.ok);
        assert.deepEqual(
          parsed.value.parameters,
          parts.map(([, name]) => name),
        );
      },
    ),
  );
});
