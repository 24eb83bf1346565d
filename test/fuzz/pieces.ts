import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { seededRandom } from "../../src/foundation/random.ts";
import { below } from "./mutate.ts";

const MOST_CUTS = 8;
/** Inputs up to this are also cut at every byte; longer ones only here and there, so that time grows as the input does. */
const SHORT_BYTES = 512;

/** The same bytes cut elsewhere: whole, at a few places that the bytes themselves choose, and short ones at each byte. */
function cuttings(bytes: Buffer): readonly (readonly Buffer[])[] {
  const random = seededRandom(crc32(bytes));
  const count = 1 + below(random, MOST_CUTS);
  const places = Array.from({ length: count }, () => below(random, bytes.length + 1)).sort((one, other) => one - other);
  const some = [...places, bytes.length].map((end, at) => bytes.subarray(places[at - 1] ?? 0, end));
  if (bytes.length > SHORT_BYTES) return [[bytes], some];
  return [[bytes], some, Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1))];
}

/** Asserts that what is read does not hang on where the bytes were cut; returns it. */
export function sameHoweverCut<Read>(bytes: Buffer, read: (pieces: Iterable<Buffer>) => Read): Read {
  const [whole, ...others] = cuttings(bytes).map(read);
  for (const other of others) assert.deepEqual(other, whole);
  // There is always the cutting without a cut.
  return whole as Read;
}

/** The pieces, wiped when the next one is asked for: as a socket does whose buffer is used again. What is needed longer must be copied. */
export function* wiped(pieces: Iterable<Buffer>): Generator<Buffer> {
  for (const piece of pieces) {
    const copy = Buffer.from(piece);
    yield copy;
    copy.fill(0x7e);
  }
}
