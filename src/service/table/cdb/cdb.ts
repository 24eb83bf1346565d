import { ok, refused, type Result } from "../../../foundation/result.ts";

/**
 * The constant database of D. J. Bernstein (cr.yp.to/cdb/cdb.txt): a file that is written once and then only read, where
 * each key is found by two small reads, however many there are. All numbers are 32 bits, little endian.
 *
 * | where | what |
 * |---|---|
 * | 0 to 2047 | 256 pairs: where a hash table begins, and how many slots it has |
 * | from 2048 | records: length of the key, length of the value, key, value |
 * | behind them | the tables: slots of a hash and where its record is; 0 is an empty one |
 */
export interface Cdb {
  /** Undefined when it is not there. Refuses with words when the file is torn. */
  get(key: Uint8Array): Result<Uint8Array | undefined, string>;
  /** All records, in the order they were written; ends after the first refusal. */
  records(): Generator<Result<CdbRecord, string>>;
}

export interface CdbRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Bytes of the file; fewer than `length` where it ends. */
export type ReadAt = (at: number, length: number) => Uint8Array;

const HEADER_BYTES = 2048;
const MOST_BYTES = 0xffff_ffff;
/** A value or key beyond this is no alias, but a file that was not made for us, or is torn. */
const MOST_RECORD_BYTES = 16 * 1024 * 1024;
/** What is read at once of slots and of a record; most need no second read. */
const SLOTS_AT_ONCE = 16;
const RECORD_AT_ONCE = 512;

/** Checks that the file is whole as far as its header says: a torn one lacks its end, where the tables are. */
export function openCdb(read: ReadAt, size: number): Result<Cdb, string> {
  const header = view(read(0, HEADER_BYTES));
  if (header.byteLength < HEADER_BYTES) return refused("is no cdb file: it has no header");
  let recordsEnd = size;
  for (let table = 0; table < 256; table++) {
    const at = header.getUint32(table * 8, true);
    const slots = header.getUint32(table * 8 + 4, true);
    if (at < HEADER_BYTES || at + slots * 8 > size) return refused("is torn, or no cdb file: a part of it is missing");
    recordsEnd = Math.min(recordsEnd, at);
  }
  return ok({
    get(key) {
      const hash = cdbHash(key);
      const table = (hash & 255) * 8;
      const at = header.getUint32(table, true);
      const slots = header.getUint32(table + 4, true);
      if (slots === 0) return ok(undefined);
      let slot = (hash >>> 8) % slots;
      for (let seen = 0; seen < slots;) {
        const count = Math.min(SLOTS_AT_ONCE, slots - slot, slots - seen);
        const found = view(read(at + slot * 8, count * 8));
        if (found.byteLength < count * 8) return refused(TORN);
        for (let index = 0; index < count; index++) {
          const recordAt = found.getUint32(index * 8 + 4, true);
          if (recordAt === 0) return ok(undefined);
          if (found.getUint32(index * 8, true) !== hash) continue;
          const record = recordAround(read, recordAt, recordsEnd);
          if (!record.ok) return record;
          if (Buffer.compare(record.value.key, key) === 0) return ok(record.value.value);
        }
        seen += count;
        slot = (slot + count) % slots;
      }
      return ok(undefined);
    },
    *records() {
      for (let at = HEADER_BYTES; at < recordsEnd;) {
        const record = recordAround(read, at, recordsEnd);
        yield record;
        if (!record.ok) return;
        at += 8 + record.value.key.length + record.value.value.length;
      }
    },
  });
}

/** The bytes of a database and where each piece belongs, in the order of writing; the header comes last. Refuses past 4 GiB. */
export function* cdbPieces(
  records: Iterable<CdbRecord>,
): Generator<{ readonly at: number; readonly bytes: Uint8Array }, Result<{ readonly records: number }, string>> {
  const tables: { hash: number; at: number }[][] = Array.from({ length: 256 }, () => []);
  let at = HEADER_BYTES;
  let count = 0;
  for (const { key, value } of records) {
    const bytes = Buffer.allocUnsafe(8 + key.length + value.length);
    bytes.writeUInt32LE(key.length, 0);
    bytes.writeUInt32LE(value.length, 4);
    bytes.set(key, 8);
    bytes.set(value, 8 + key.length);
    const hash = cdbHash(key);
    tables[hash & 255]?.push({ hash, at });
    yield { at, bytes };
    at += bytes.length;
    count++;
    if (at > MOST_BYTES) return refused("a cdb file has at most 4 GiB");
  }
  const header = Buffer.alloc(HEADER_BYTES);
  for (const [index, entries] of tables.entries()) {
    // Twice as many slots as records: about every second one is empty and ends a search.
    const slots = entries.length * 2;
    if (at + slots * 8 > MOST_BYTES) return refused("a cdb file has at most 4 GiB");
    header.writeUInt32LE(at, index * 8);
    header.writeUInt32LE(slots, index * 8 + 4);
    const bytes = Buffer.alloc(slots * 8);
    for (const entry of entries) {
      let slot = (entry.hash >>> 8) % slots;
      while (bytes.readUInt32LE(slot * 8 + 4) !== 0) slot = (slot + 1) % slots;
      bytes.writeUInt32LE(entry.hash, slot * 8);
      bytes.writeUInt32LE(entry.at, slot * 8 + 4);
    }
    yield { at, bytes };
    at += bytes.length;
  }
  yield { at: 0, bytes: header };
  return ok({ records: count });
}

function cdbHash(key: Uint8Array): number {
  let hash = 5381;
  for (const byte of key) hash = (((hash << 5) + hash) ^ byte) >>> 0;
  return hash;
}

const TORN = "is torn: a record is not where it should be";

function recordAround(read: ReadAt, at: number, end: number): Result<CdbRecord, string> {
  if (at < HEADER_BYTES || at + 8 > end) return refused(TORN);
  let bytes = read(at, RECORD_AT_ONCE);
  if (bytes.length < 8) return refused(TORN);
  const lengths = view(bytes);
  const keyBytes = lengths.getUint32(0, true);
  const valueBytes = lengths.getUint32(4, true);
  const whole = 8 + keyBytes + valueBytes;
  if (at + whole > end || whole > MOST_RECORD_BYTES) return refused(TORN);
  if (bytes.length < whole) bytes = read(at, whole);
  if (bytes.length < whole) return refused(TORN);
  return ok({ key: bytes.subarray(8, 8 + keyBytes), value: bytes.subarray(8 + keyBytes, whole) });
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
