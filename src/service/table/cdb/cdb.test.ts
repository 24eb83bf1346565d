import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cdbPieces, openCdb, type Cdb, type CdbRecord } from "./cdb.ts";

function fileOf(records: readonly CdbRecord[]): Buffer {
  const pieces = cdbPieces(records);
  let file = Buffer.alloc(0);
  for (;;) {
    const next = pieces.next();
    if (next.done === true) {
      assert.deepEqual(next.value, { ok: true, value: { records: records.length } });
      return file;
    }
    const { at, bytes } = next.value;
    const end = Math.max(file.length, at + bytes.length);
    file = Buffer.concat([file, Buffer.alloc(end - file.length)]);
    file.set(bytes, at);
  }
}

function opened(file: Uint8Array): ReturnType<typeof openCdb> {
  return openCdb((at, length) => file.subarray(at, at + length), file.length);
}

function whole(file: Uint8Array): Cdb {
  const cdb = opened(file);
  assert.ok(cdb.ok);
  return cdb.value;
}

const bytes = fc.uint8Array({ maxLength: 12 });
const records = fc.uniqueArray(fc.record({ key: bytes, value: fc.uint8Array({ maxLength: 700 }) }), {
  selector: ({ key }) => Buffer.from(key).toString("hex"),
  maxLength: 60,
});

test("every record is found under its key, and no other key finds one", () => {
  fc.assert(
    fc.property(records, bytes, (written, other) => {
      const cdb = whole(fileOf(written));
      for (const { key, value } of written) {
        const found = cdb.get(key);
        assert.ok(found.ok && found.value !== undefined);
        assert.deepEqual(Buffer.from(found.value), Buffer.from(value));
      }
      if (!written.some(({ key }) => Buffer.compare(key, other) === 0))
        assert.deepEqual(cdb.get(other), { ok: true, value: undefined });
    }),
  );
});

test("the records come back in their order", () => {
  fc.assert(
    fc.property(records, (written) => {
      const read = [...whole(fileOf(written)).records()].map((record) => {
        assert.ok(record.ok);
        return [Buffer.from(record.value.key), Buffer.from(record.value.value)];
      });
      assert.deepEqual(
        read,
        written.map(({ key, value }) => [Buffer.from(key), Buffer.from(value)]),
      );
    }),
  );
});

test("a file that ends early is refused when it is opened, wherever it ends", () => {
  const file = fileOf([
    { key: Buffer.from("joe"), value: Buffer.from("jane") },
    { key: Buffer.from("jim"), value: Buffer.alloc(900, "x") },
  ]);
  for (let length = 0; length < file.length; length++)
    assert.equal(opened(file.subarray(0, length)).ok, false, `${length}`);
  assert.ok(opened(file).ok);
});

test("a file with wrong bytes in it never throws, reads beyond its end or goes round for ever", () => {
  const file = fileOf(
    Array.from({ length: 20 }, (_, at) => ({ key: Buffer.from(`k${at}`), value: Buffer.from(`v${at}`) })),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(25),
      (changes, at) => {
        const broken = Buffer.from(file);
        for (const [where, byte] of changes) broken[where] = byte;
        const cdb = opened(broken);
        if (!cdb.ok) return;
        const found = cdb.value.get(Buffer.from(`k${at}`));
        assert.ok(!found.ok ? found.problem !== "" : found.value === undefined || found.value.length < broken.length);
        let seen = 0;
        for (const record of cdb.value.records()) seen += record.ok ? 8 + record.value.key.length : 0;
        assert.ok(seen <= broken.length);
      },
    ),
    { numRuns: 500 },
  );
});

test("a database without records is one", () => {
  assert.deepEqual(whole(fileOf([])).get(Buffer.from("x")), { ok: true, value: undefined });
});
