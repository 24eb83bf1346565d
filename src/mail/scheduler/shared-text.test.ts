import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedName, sharedText } from "./shared-text.ts";

test("what comes back is the text that was asked for, for whatever name", () => {
  const names = new Map<string, string>();
  for (const name of ["relay", "7", "", "__proto__", "constructor", "ä/ö"]) {
    assert.equal(sharedName(names, name), name);
    assert.equal(sharedName(names, `${name.slice(0, 1)}${name.slice(1)}`), name);
  }
  assert.equal(names.size, 6);
});

test("what is remembered is bounded", () => {
  const [texts, names] = [new Map<string, string>(), new Map<string, string>()];
  for (let n = 0; n < 2000; n++) {
    assert.equal(sharedText(texts, `text ${n}`), `text ${n}`);
    assert.equal(sharedName(names, `name ${n}`), `name ${n}`);
  }
  assert.ok(texts.size <= 500 && names.size <= 500);
});
