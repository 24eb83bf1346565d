import { deserialize, serialize } from "node:v8";

/**
 * What a channel's frames hold. Small plain data, which is nearly all of it, travels as JSON, at a third of the work of a
 * structured clone; what JSON would change, and what is large, as a structured clone. Both arrive as they were said. Which it
 * is shows in the first byte: of an array in JSON, or of a clone's version.
 */
export function frameBytes(said: readonly unknown[]): readonly [bytes: Buffer, ...more: Buffer[]] {
  if (!isSmallAndPlain(said)) {
    const payload = serialize(said);
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(payload.byteLength);
    return [head, payload];
  }
  const json = JSON.stringify(said);
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + json.length * MOST_BYTES_PER_UNIT);
  const length = bytes.write(json, HEAD_BYTES);
  bytes.writeUInt32BE(length);
  return [bytes.subarray(0, HEAD_BYTES + length)];
}

/** Of `payload`, what was said. Throws when it is neither. */
export function readFrame(payload: Buffer): unknown {
  return payload[0] === ARRAY_IN_JSON ? JSON.parse(payload.toString()) : deserialize(payload);
}

/** The length of what follows: 32 bits, big endian. */
export const HEAD_BYTES = 4;
const ARRAY_IN_JSON = 0x5b;
const MOST_BYTES_PER_UNIT = 3;

/** Beyond these a copy by the engine costs less than a look at each piece. */
const MOST_VALUES = 200;
const MOST_UNITS = 4000;

function isSmallAndPlain(said: readonly unknown[]): boolean {
  const left = { values: MOST_VALUES, units: MOST_UNITS };
  return isPlain(said, left);
}

/** Whether JSON gives it back as it is, and there is no more of it than is left; so it also ends where data is in itself. */
function isPlain(value: unknown, left: { values: number; units: number }): boolean {
  if (--left.values < 0) return false;
  if (typeof value === "string") return (left.units -= value.length) >= 0;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value === "boolean" || value === null) return true;
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) {
    // By place: a hole is undefined, and so no JSON.
    for (let at = 0; at < value.length; at++) if (!isPlain(value[at], left)) return false;
    return true;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const key in value) {
    if (key === "toJSON" || (left.units -= key.length) < 0) return false;
    // What `for` has named is there.
    if (!isPlain((value as Record<string, unknown>)[key], left)) return false;
  }
  return true;
}
