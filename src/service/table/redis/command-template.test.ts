import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyParameters } from "../key-parameters.ts";
import { commandWords, parseCommandTemplate, replyRows } from "./command-template.ts";

function wordsOf(text: string, key: string, prefix = ""): readonly string[] {
  const parsed = parseCommandTemplate(text);
  assert.ok(parsed.ok, text);
  return commandWords(parsed.value, prefix, keyParameters(key, "alias"));
}

test("a command is written as one would type it", () => {
  assert.deepEqual(wordsOf("GET alias:%{key}", "joe@example.org"), ["GET", "alias:joe@example.org"]);
  assert.deepEqual(wordsOf("hget  users:%{user}  password", "joe@example.org", "mail:"), [
    "HGET",
    "mail:users:joe",
    "password",
  ]);
  assert.deepEqual(wordsOf('HMGET "my users:%{domain}" uid "the \\"gid\\""', "joe@d"), [
    "HMGET",
    "my users:d",
    "uid",
    'the "gid"',
  ]);
  assert.deepEqual(wordsOf("GET %{service}:100%%", "a"), ["GET", "alias:100%"]);
});

test("a key stays one word, whatever it holds", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (key) => {
      assert.deepEqual(wordsOf("HGET %{key} password", key), ["HGET", key, "password"]);
    }),
  );
});

test("only commands that read are taken, with as many words as they have", () => {
  for (const text of [
    "",
    "DEL %{key}",
    "EVAL x 0",
    "GET",
    "GET a b",
    "HGET a",
    'GET "a',
    "GET %{name}",
    'GET a"b',
    "toString a",
  ])
    assert.ok(!parseCommandTemplate(text).ok, text);
  fc.assert(fc.property(fc.string(), (text) => void parseCommandTemplate(text)));
});

test("answers become rows; one of another kind is told", () => {
  assert.deepEqual(replyRows("value", null), []);
  assert.deepEqual(replyRows("value", "a"), [["a"]]);
  assert.deepEqual(replyRows("columns", ["1", null]), [["1", null]]);
  assert.deepEqual(replyRows("rows", ["a", "b"]), [["a"], ["b"]]);
  assert.deepEqual(replyRows("rows", []), []);
  assert.deepEqual(replyRows("member", 0), []);
  assert.equal(replyRows("member", 1).length, 1);
  assert.equal(typeof replyRows("value", ["a"]), "string");
  assert.equal(typeof replyRows("rows", "a"), "string");
  assert.equal(typeof replyRows("member", "1"), "string");
});
