import assert from "node:assert/strict";
import { test } from "node:test";
import { tablesSettings } from "./settings.ts";

function parsed(table: Record<string, unknown>): unknown {
  const result = tablesSettings.safeParse({ t: table });
  return result.success
    ? result.data["t"]
    : result.error.issues.map(({ message, path }) => `${path.join(".")}: ${message}`);
}

test("each kind of table becomes its source, with what a lookup may take", () => {
  assert.deepEqual(parsed({ list: ["a"] }), { kind: "list", items: ["a"] });
  assert.deepEqual(parsed({ map: { a: "b" } }), { kind: "map", entries: { a: "b" } });
  assert.deepEqual(parsed({ file: "/a" }), { kind: "file", file: "/a" });
  assert.deepEqual(parsed({ aliases: "/a" }), { kind: "file", file: "/a", syntax: "aliases" });
  assert.deepEqual(parsed({ regexp: "/a" }), { kind: "file", file: "/a", syntax: "regexp" });
  assert.deepEqual(parsed({ cdb: "/a.cdb" }), {
    kind: "cdb",
    options: { file: "/a.cdb" },
    wildcards: true,
    timeoutMs: 5000,
  });
  assert.deepEqual(parsed({ sqlite: { file: "/a", queries: { alias: "x" } }, wildcards: false, timeout: "1s" }), {
    kind: "sqlite",
    options: { file: "/a", queries: { alias: "x" } },
    wildcards: false,
    timeoutMs: 1000,
  });
});

test("a table has exactly one source, and options only where a backend takes them", () => {
  assert.match(String(parsed({})), /expected exactly one of list, map, file, aliases, regexp, cdb, sqlite/);
  assert.match(String(parsed({ file: "/a", cdb: "/a.cdb" })), /expected exactly one of/);
  assert.deepEqual(parsed({ file: "/a", wildcards: false }), ["t.wildcards: is for tables that a backend answers"]);
  assert.match(String(parsed({ sqlite: { file: "/a", queries: {} } })), /expected at least one query/);
  assert.match(String(parsed({ sqlite: { file: "/a", queries: { aliass: "x" } } })), /aliass|Invalid/);
});

test("what would give everybody the same password is no question for passwords", () => {
  const server = { hosts: ["127.0.0.1"], database: "d", user: "u" };
  const wrong = "select password from users where name = ':key'";
  const ldap = { hosts: ["ldap://127.0.0.1"], base: "dc=x", searches: { credentials: { filter: "(uid=jane)" } } };
  for (const table of [
    { postgres: { ...server, queries: { credentials: wrong } } },
    { mysql: { ...server, queries: { string: wrong } } },
    { sqlite: { file: "/a", queries: { credentials: wrong } } },
    { redis: { hosts: ["127.0.0.1"], commands: { credentials: "GET password" } } },
    { ldap },
  ])
    assert.match(String(parsed(table)), /the answer is the same for everybody/, JSON.stringify(table));
  const right = wrong.replaceAll("'", "");
  for (const table of [
    { postgres: { ...server, queries: { credentials: right, source: "select a from addresses" } } },
    { sqlite: { file: "/a", queries: { credentials: right } } },
    { redis: { hosts: ["127.0.0.1"], commands: { credentials: "HGET users %{user}" } } },
    { ldap: { ...ldap, searches: { credentials: { filter: "(uid=jane)", base: "uid=%{user},dc=x" } } } },
  ])
    assert.doesNotMatch(String(parsed(table)), /everybody/, JSON.stringify(table));
});
