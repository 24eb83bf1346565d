import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { areAlike, restore, snapshot } from "./snapshot.ts";

test("a snapshot keeps cycles, shared objects, the order of Maps and Sets, undefined and Infinity", () => {
  const shared = { n: 1 };
  const root: Record<string, unknown> = {
    a: shared,
    b: shared,
    u: undefined,
    far: Infinity,
    map: new Map<unknown, unknown>([
      ["z", shared],
      [shared, "y"],
    ]),
    set: new Set([3, 1, 2]),
    list: [1, [null, undefined], "r"],
  };
  root["self"] = root;
  const copy = restore(snapshot(root)) as Record<string, unknown>;
  assert.deepEqual(copy, root);
  assert.equal(copy["a"], copy["b"]);
  assert.equal(copy["self"], copy);
  assert.deepEqual([...(copy["set"] as Set<number>)], [3, 1, 2]);
  assert.ok("u" in copy);
});

test("a long chain of links does not overflow anything", () => {
  let first: { next: unknown } = { next: undefined };
  for (let n = 0; n < 100_000; n++) first = { next: first };
  let length = 0;
  for (let at: unknown = restore(snapshot(first)); at !== undefined; at = (at as { next: unknown }).next) length++;
  assert.equal(length, 100_001);
});

test("names that mean something to the language are names like others", () => {
  const value = JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}') as object;
  assert.equal(JSON.stringify(restore(snapshot(value))), '{"__proto__":{"a":1},"constructor":2}');
});

test("restore is the inverse of snapshot for any plain value", () => {
  fc.assert(
    fc.property(fc.object({ withMap: true, withSet: true, withNullPrototype: false }), (value) => {
      assert.equal(snapshot(restore(snapshot(value)) as object), snapshot(value));
    }),
  );
});

test("what was read back from JSON is alike, whatever was undefined in it or in it twice; what says something else is not", () => {
  const failure = { text: "no", reply: undefined };
  const live = { first: failure, second: failure, known: new Map([["a", { of: failure }]]), n: Infinity };
  const read = (): { text: string } => JSON.parse(JSON.stringify(failure)) as { text: string };
  const back = (over: object = {}): string =>
    snapshot({ first: read(), second: read(), known: new Map([["a", { of: read() }]]), n: Infinity, ...over });
  assert.ok(areAlike(snapshot(live), back()));
  assert.ok(areAlike(back(), snapshot(live)));
  assert.ok(!areAlike(snapshot(live), back({ second: { text: "yes" } })));
  assert.ok(!areAlike(snapshot(live), back({ known: new Map([["b", { of: read() }]]) })));
  assert.ok(!areAlike(snapshot(live), back({ known: new Map() })));
  assert.ok(!areAlike(snapshot(live), back({ n: -Infinity })));
  assert.ok(!areAlike(snapshot(live), back({ more: 1 })));
  const ring: Record<string, unknown> = { u: undefined };
  ring["self"] = ring;
  const other: Record<string, unknown> = {};
  other["self"] = { self: other };
  assert.ok(areAlike(snapshot(ring), snapshot(other)));
});
