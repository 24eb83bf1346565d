import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting } from "./watch.ts";

test("a terminal gets what it has room for, and is told of the rest", () => {
  const text = Array.from({ length: 10 }, (_, at) => `line ${at}`).join("\n");
  assert.equal(fitting(text, undefined), text);
  assert.equal(fitting(text, 40), text);
  assert.equal(fitting(text, 6), "line 0\nline 1\nline 2\n… 6 lines more");
});
