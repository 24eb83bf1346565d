import assert from "node:assert/strict";
import { test } from "node:test";
import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { frameBytes, HEAD_BYTES, readFrame } from "./frame.ts";

const wayOf = (
  said: readonly unknown[],
): { readonly bytes: Buffer; readonly isJson: boolean; readonly read: unknown } => {
  const bytes = Buffer.concat(frameBytes(said));
  assert.equal(bytes.readUInt32BE(), bytes.length - HEAD_BYTES);
  const payload = bytes.subarray(HEAD_BYTES);
  return { bytes, isJson: payload[0] === 0x5b, read: readFrame(payload) };
};

test("whatever is said arrives as a structured clone of it would", () => {
  const plain = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, undefined, -0),
    fc.bigInt(),
    fc.date(),
    fc.uint8Array(),
  );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      plain,
      fc.array(tie("tree")),
      fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("toJSON", "__proto__", "0")), tie("tree"), {
        noNullPrototype: true,
      }),
      fc.array(fc.tuple(fc.string(), tie("tree"))).map((entries) => new Map(entries)),
    ),
  }));
  fc.assert(
    fc.property(fc.array(tree), (said) => {
      assert.deepEqual(wayOf(said).read, deserialize(serialize(said)));
    }),
  );
});

test("lone surrogates and characters of more bytes arrive", () => {
  const said = ["\ud800", "ü€😀".repeat(300), "\u2028\0"];
  const { isJson, read } = wayOf(said);
  assert.equal(isJson, true);
  assert.deepEqual(read, said);
});

test("what JSON would change is cloned", () => {
  const sparse: unknown[] = [];
  sparse[2] = 1;
  const round: unknown[] = [];
  round.push(round);
  for (const value of [undefined, { a: undefined }, Number.NaN, -0, 1n, new Date(0), Buffer.from("x"), sparse, round])
    assert.equal(wayOf([value]).isJson, false);
  assert.equal(wayOf([{ toJSON: 1 }]).isJson, false);
});

test("what is large is cloned, however it is large", () => {
  assert.equal(wayOf(["x".repeat(1000)]).isJson, true);
  assert.equal(wayOf(["x".repeat(5000)]).isJson, false);
  assert.equal(wayOf(Array.from({ length: 50 }, () => "x".repeat(100))).isJson, false);
  assert.equal(wayOf(Array.from({ length: 500 }, () => 1)).isJson, false);
  assert.equal(wayOf([{ ["x".repeat(5000)]: 1 }]).isJson, false);
});

test("what is neither throws", () => {
  for (const payload of ["", "[1", "x", "\xff"]) assert.throws(() => readFrame(Buffer.from(payload, "latin1")));
});
