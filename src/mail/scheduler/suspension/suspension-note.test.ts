import assert from "node:assert/strict";
import { test } from "node:test";
import { suspensionFrom } from "./suspension-note.ts";

const written = { level: "domain", key: "far.test", because: "too much mail", by: "ada", setAt: 1000 };

test("a suspension comes back from the store as it was written", () => {
  assert.deepEqual(suspensionFrom(JSON.stringify(written)), written);
  assert.deepEqual(suspensionFrom(JSON.stringify({ ...written, untilAt: 2000 })), { ...written, untilAt: 2000 });
});

test("what a later version adds is left out", () => {
  assert.deepEqual(suspensionFrom(JSON.stringify({ ...written, mood: "grim" })), written);
});

test("what is no suspension is none, whatever else it is", () => {
  for (const text of ["", "{", "null", "[]", "7", '"domain"', "{}"])
    assert.equal(suspensionFrom(text), undefined, text);
  for (const change of [
    { level: "planet" },
    { key: 7 },
    { because: undefined },
    { by: null },
    { setAt: "1000" },
    { untilAt: "2000" },
    { untilAt: null },
  ])
    assert.equal(suspensionFrom(JSON.stringify({ ...written, ...change })), undefined, JSON.stringify(change));
});
